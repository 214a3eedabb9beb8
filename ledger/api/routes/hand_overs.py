"""Documents that were handed over on paper, by post or by e-mail: disclosures that no reading shows."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.api.calls import perform
from ledger.api.openapi import a_router, recording
from ledger.api.schemas.hand_overs import NewHandOver
from ledger.application.record.hand_overs import RecordHandOver

router = a_router("hand-overs")


@router.post(
    "/v1/hand-overs",
    **recording("recordHandOver", "Записать выдачу документа / Record that a document was handed over", NewHandOver),
)
async def hand_over(request: Request) -> Response:
    """Записывает выданный документ как раскрытие / Records a document that was handed over as a disclosure.

    Director, deputy heads and secretary record it, as they may read what it tells of for that purpose; a refusal is
    recorded as that of a reading is. It stands in the register of each student from then on. To the student and to who
    represents them on that day it goes freely (`received_by`); to anybody else (`recipient`) by law, with the document
    that asks for it (`asked_by`), or with a consent that held on that day. `id` is the access in the register.
    """
    return await perform(request, RecordHandOver)
