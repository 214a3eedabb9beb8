"""An export as a streamed answer: as fast as its client reads, cut off where something goes wrong, never shortened.

What is wrong with the request, or with who asks, is said before the answer begins. Later there is no status to change:
the connection is broken off then, so that no client takes a part for the whole.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import StreamingResponse

from ledger.api.framing import NDJSON
from ledger.application.disclose.exporting import csv_header, csv_lines, json_lines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from starlette.types import Receive, Scope, Send

    from ledger.api.stream import Streams
    from ledger.application.disclose.register import Export

CSV = "text/csv; charset=utf-8"
JSON_LINES = NDJSON
LIFE_S = 3_600.0


class ExportStream(StreamingResponse):
    """An export that has been disclosed, in one of its forms."""

    def __init__(self, streams: Streams, client: UUID, export: Export, media: str) -> None:
        headers = {
            "Ledger-Position": str(export.position),
            "Ledger-Access": str(export.access_id),
            "Ledger-Lines": str(export.lines),
            "Content-Disposition": f'attachment; filename="disclosures.{"csv" if media == CSV else "ndjson"}"',
            "X-Accel-Buffering": "no",
        }
        super().__init__(_pieces(export, media), headers=headers, media_type=media)
        self._streams, self._client = streams, client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the export; a client that reads too slowly is cut off after an hour."""
        with self._streams.held(self._client):
            async with asyncio.timeout(LIFE_S):
                await super().__call__(scope, receive, send)


async def _pieces(export: Export, media: str) -> AsyncIterator[bytes]:
    if media == CSV:
        yield csv_header()
    write = csv_lines if media == CSV else json_lines
    async for lines in export.batches:
        yield write(lines)
