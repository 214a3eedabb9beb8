"""What became of a request: for a client that got no answer."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.answers import answer_recorded
from ledger.api.calls import ask
from ledger.api.openapi import a_router, reading
from ledger.api.parameters import CommandKey
from ledger.api.service import request_id_of
from ledger.application.commands import find_command
from ledger.application.record.command import Request as RecordRequest

router = a_router("commands")


@router.get(
    "/v1/commands/{key:path}",
    **reading("readCommand", "Что стало с запросом / What became of it", "CommandRecorded", recorded=True),
)
async def get_command(request: Request, key: CommandKey) -> Response:
    """Что записано под своим ключом / What was recorded under one's own key; the body is that of the first answer."""
    call = ask(request)
    sent = RecordRequest(call.reader.actor, key, request_id=request_id_of(request))
    return answer_recorded(await find_command(call.ledger, sent, key))
