"""A witness for other people's logs: one route, `POST /add-checkpoint` (C2SP tlog-witness), and its key.

It stands alone: no database server, no ledger, no keys of records. An organisation that is not the school's runs it, so
that nobody can show one history to the school and another one to the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from ledger.clock import utc_now
from ledger.seal.note import sign
from ledger.seal.witness import MAX_REQUEST, SIZE_TYPE, Denied, Known, Verdict, judge_request, origin_of, parse_request
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ledger.seal.note import SignerKey, VerifierKey
    from ledger.store.witness_state import WitnessState

TEXT = "text/plain; charset=utf-8"

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness: its own key, the logs that it knows (verifier keys by origin), and what it remembers of them."""

    signer: SignerKey
    logs: Mapping[str, Sequence[VerifierKey]]
    state: WitnessState

    def add_checkpoint(self, data: bytes) -> bytes:
        """Returns the cosignature line for a checkpoint that continues what this witness knows of its log.

        Raises:
            Denied: it does not, or somebody else was faster.
        """
        request = parse_request(data)
        origin = origin_of(request)
        known = self.state.known(origin)
        checkpoint = judge_request(request, self.logs.get(origin, ()), known)
        after = Known(checkpoint.size, checkpoint.root)
        if not self.state.replace(origin, known, after, bytes(request.note)):
            raise Denied(Verdict.CONFLICT, "Another request was faster.", self.state.known(origin).size)
        return sign(request.note.text, self.signer, seconds=int(utc_now().timestamp())).line().encode()


def create_witness(witness: Witness) -> FastAPI:
    """Returns the application of a witness."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)

    @app.post("/add-checkpoint", response_model=None)
    async def add_checkpoint(request: HttpRequest) -> Response:
        chunks, size = [], 0
        async for chunk in request.stream():
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_REQUEST:
                return Response("The request is too long.\n", 400, media_type=TEXT)
        try:
            line = await run_in_threadpool(witness.add_checkpoint, b"".join(chunks))
        except Denied as denied:
            logger.warning("A checkpoint was not cosigned.", verdict=denied.verdict.name, reason=denied.reason)
            if denied.known is not None:
                return Response(f"{denied.known}\n", denied.verdict, {"Content-Type": SIZE_TYPE})
            return Response(f"{denied.reason}\n", denied.verdict, media_type=TEXT)
        return Response(line, Verdict.COSIGNED, media_type=TEXT)

    @app.get("/key", response_model=None)
    async def key() -> Response:
        return Response(f"{witness.signer.verifier}\n", media_type=TEXT)

    return app
