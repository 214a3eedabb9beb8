"""The transparency log (C2SP tlog-tiles) and receipts. Checkpoint, keys and tiles are public: they are hashes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import Response

from ledger.api.calls import ask
from ledger.api.conditions import MAX_WAIT_S
from ledger.api.openapi import a_router
from ledger.api.parameters import LAST_POSITION
from ledger.api.security import admit_anybody
from ledger.api.service import service_of
from ledger.application.log import read_bundle, read_checkpoint, read_keys, read_receipt, read_tile

router = a_router("log")

TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"

_FRESH = {"Cache-Control": "no-cache"}
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}

TilePath = Annotated[str, Path(max_length=60, description="`<L>/<N>[.p/<W>]`, см. / see c2sp.org/tlog-tiles")]
BundlePath = Annotated[str, Path(max_length=60, description="`<N>[.p/<W>]`, см. / see c2sp.org/tlog-tiles")]
Position = Annotated[int, Path(ge=1, le=LAST_POSITION, description="Позиция события / The event's position.")]
Wait = Annotated[
    float, Query(ge=0, le=MAX_WAIT_S, description="Сколько секунд ждать / Seconds to wait until it is sealed.")
]


def _serving(operation_id: str, summary: str, media_type: str) -> dict[str, Any]:
    schema = {"type": "string"} if media_type == TEXT else {"type": "string", "format": "binary"}
    content = {media_type.partition(";")[0]: {"schema": schema}}
    return {
        "operation_id": operation_id,
        "summary": summary,
        "response_model": None,
        "responses": {200: {"description": "OK", "content": content}},
    }


@router.get("/log/checkpoint", **_serving("readCheckpoint", "Контрольная точка журнала / The log's checkpoint", TEXT))
async def get_checkpoint(request: Request) -> Response:
    """Подписанная контрольная точка с подписями свидетелей / The newest signed checkpoint, with cosignatures."""
    admit_anybody(request)
    return Response(await read_checkpoint(service_of(request).ledger), media_type=TEXT, headers=_FRESH)


@router.get("/log/key", **_serving("readLogKeys", "Ключи проверки / Verifier keys", TEXT))
async def get_keys(request: Request) -> Response:
    """Ключи проверки журнала, по одному в строке / The log's verifier keys, one a line; compare them with yours."""
    admit_anybody(request)
    keys = await read_keys(service_of(request).ledger)
    return Response("".join(f"{key}\n" for key in keys), media_type=TEXT, headers=_FRESH)


# Before the tiles: `entries` would be a level otherwise.
@router.get("/log/tile/entries/{path:path}", **_serving("readEntryBundle", "Записи журнала / An entry bundle", BYTES))
async def get_bundle(request: Request, path: BundlePath) -> Response:
    """До 256 записей (шифртекст), аудиторам / Up to 256 entries, with their ciphertext, for who may follow the feed."""
    call = ask(request)
    return Response(await read_bundle(call.ledger, call.reader, f"tile/entries/{path}"), media_type=BYTES)


@router.get("/log/tile/{path:path}", **_serving("readTile", "Хеши журнала / A tile", BYTES))
async def get_tile(request: Request, path: TilePath) -> Response:
    """До 256 хешей; не меняется никогда / Up to 256 hashes of one level; never changes."""
    admit_anybody(request)
    tile = await read_tile(service_of(request).ledger, f"tile/{path}")
    return Response(tile, media_type=BYTES, headers=_FOR_EVER)


@router.get(
    "/v1/events/{position}/receipt", **_serving("readReceipt", "Квитанция о записи / The receipt of an event", TEXT)
)
async def get_receipt(request: Request, position: Position, wait: Wait = 0) -> Response:
    """Доказательство, что событие в журнале (.tlog-proof) / A proof that the event is in the log; keep it."""
    call = ask(request)
    return Response(await read_receipt(call.ledger, position, wait_s=wait), media_type=TEXT)
