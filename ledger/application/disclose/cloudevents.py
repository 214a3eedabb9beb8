"""CloudEvents 1.0 (JSON format): the envelope in which programs take events from everywhere.

`id` is the event's own id, `source` the ledger, `type` the topic, `subject` whom it is about, `time` when the ledger
learned it. Everything else of the header stands in extension attributes; `position` tells the order. `data` is there
only with payload.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from ledger.application.disclose.feed import OPENED, EventOpened

if TYPE_CHECKING:
    from ledger.application.disclose.feed import EventHeader

EVENT = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


class CloudEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event in its envelope; attributes that it does not have are left out, as the format demands.

    `payload` says why there is no `data` where payload was asked for: `erased` or `withheld`.
    """

    specversion: str
    id: UUID
    source: str
    type: str
    subject: UUID
    time: datetime
    position: int
    streamid: UUID
    streamversion: int
    recordclass: str
    actor: UUID
    office: str
    carrier: str
    correlationid: UUID
    requestid: UUID
    causationid: UUID | None = None
    localact: str | None = None
    payload: str | None = None
    datacontenttype: str | None = None
    data: dict[str, object] | None = None


def source_of(ledger_id: UUID) -> str:
    """Returns the URI of a ledger as a source of events."""
    return f"urn:uuid:{ledger_id}"


def cloud_event(source: str, event: EventHeader) -> CloudEvent:
    """Returns the event in its envelope."""
    payload, state = (event.payload, event.state) if isinstance(event, EventOpened) else (None, None)
    return CloudEvent(
        "1.0",
        event.event_id,
        source,
        event.topic,
        event.subject_id,
        event.recorded_at,
        event.position,
        event.stream_id,
        event.version,
        event.record_class,
        event.actor,
        event.office,
        event.carrier,
        event.correlation,
        event.request,
        causationid=event.causation,
        localact=event.local_act,
        payload=None if payload == OPENED else payload,
        datacontenttype="application/json" if state is not None else None,
        data=state,
    )
