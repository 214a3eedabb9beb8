"""The documentation page, from our own files and those of an installed package: it works in a closed network."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, RedirectResponse, Response

_OURS = Path(str(files("ledger.api.pages")))
_SWAGGER = Path(str(files("fastapi_offline"))) / "static"

_FILES: dict[str, tuple[Path, str]] = {
    "docs.js": (_OURS / "docs.js", "text/javascript"),
    "swagger-ui.css": (_SWAGGER / "swagger-ui.css", "text/css"),
    "swagger-ui-bundle.js": (_SWAGGER / "swagger-ui-bundle.js", "text/javascript"),
    "favicon.png": (_SWAGGER / "favicon.png", "image/png"),
}

# Swagger UI writes style attributes; scripts come from files only, and nothing from another origin.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

router = APIRouter(include_in_schema=False)


@router.get("/", response_model=None)
async def front() -> Response:
    """Leads whoever opens the service's bare address in a browser to the page."""
    return RedirectResponse("docs")


@router.get("/docs", response_model=None)
async def docs() -> Response:
    """Returns the page."""
    return FileResponse(_OURS / "docs.html", media_type="text/html", headers={"Content-Security-Policy": _POLICY})


@router.get("/docs/{name}", response_model=None)
async def docs_file(name: str) -> Response:
    """Returns a file of the page; there are four."""
    if name not in _FILES:
        raise HTTPException(404)
    path, media_type = _FILES[name]
    return FileResponse(path, media_type=media_type, headers={"Cache-Control": "public, max-age=3600"})
