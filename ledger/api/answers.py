"""Answers: JSON by msgspec, made from what was recorded or shown and nothing else."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote
from uuid import UUID

import msgspec
from starlette.responses import Response

from ledger.aggregates.class_group import ClassGroupFormed
from ledger.aggregates.course import CourseOpened, WorkAdded
from ledger.aggregates.disclosures import DocumentHandedOver
from ledger.aggregates.school import SchoolFounded
from ledger.aggregates.student.marks import AttendanceNoted, MarkRecorded, MarksOpened
from ledger.aggregates.student.record import StudentEnrolled
from ledger.aggregates.webhooks import WebhookRegistered
from ledger.application.readiness import Part
from ledger.application.tags import tag_after

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ledger.application.tags import Tags
    from ledger.store.commands import Recorded

_STREAMS = frozenset(
    event.TOPIC
    for event in (
        SchoolFounded,
        ClassGroupFormed,
        CourseOpened,
        StudentEnrolled,
        DocumentHandedOver,
        WebhookRegistered,
    )
)
_LESSON = frozenset({MarkRecorded.TOPIC, AttendanceNoted.TOPIC})


_PORTFOLIO = "/v1/students/{student}/portfolio"
_PLACES: Mapping[str, str] = {
    "school": "/v1/school",
    "group": "/v1/class-groups/{stream}",
    "course": "/v1/courses/{stream}",
    "student": "/v1/students/{student}",
    "achievements": _PORTFOLIO,
    "awards": _PORTFOLIO,
    "credits": _PORTFOLIO,
    "request": "/v1/students/{student}/requests",
    "consent": "/v1/students/{student}/consents",
    "representation": "/v1/students/{student}/representatives",
}
"""Where a thing is read, by the first part of the topics of its events."""


class EventRecorded(msgspec.Struct):
    """An event that was recorded: its position, its own id, the stream and subject it belongs to, and its topic."""

    position: int
    event_id: UUID
    stream_id: UUID
    subject_id: UUID
    topic: str


class EventReceipt(msgspec.Struct):
    """The receipt of an event: the text of its `.tlog-proof`, which leads to a signed checkpoint."""

    position: int
    receipt: str


class CommandRecorded(msgspec.Struct):
    """What a command recorded.

    `position` is that of its last event: a read with this `min_position` shows the effect. `id` names what was made;
    it is null where a lesson made several marks (their ids are in `events`). `receipt`, in answers to lines and where
    receipts were waited for, is where the receipt of the last event is read; `receipts` has those of all its events.
    """

    position: int
    first_position: int
    recorded_at: datetime
    events: list[EventRecorded]
    id: UUID | None
    receipt: str | msgspec.UnsetType = msgspec.UNSET
    receipts: list[EventReceipt] | msgspec.UnsetType = msgspec.UNSET


class Alive(msgspec.Struct):
    """The process answers."""

    status: Literal["alive"]


class Ready(msgspec.Struct):
    """The service can do its work; each part says how far it is."""

    status: Literal["ready"]
    parts: list[Part]


def made_by(recorded: Recorded) -> UUID | None:
    """Returns the id of what was made, from the recorded columns alone, so that a repetition answers the same.

    That is the stream of a school, class group, course, student or webhook that was opened, or of a hand-over; else the
    (first) event.
    """
    events = [event for event in recorded.events if event.topic != MarksOpened.TOPIC]
    if len(events) > 1 and events[0].topic in _LESSON:
        return None
    first = events[0]
    return first.stream_id if first.topic in _STREAMS else first.event_id


def receipt_of(position: int) -> str:
    """Returns where the receipt of an event is read."""
    return f"/v1/events/{position}/receipt"


def receipt_link(recorded: Recorded) -> str:
    """Returns the Link header (RFC 8288) of the receipt of a command's last event."""
    return f'<{receipt_of(recorded.position)}>; rel="receipt"'


def recorded_line(recorded: Recorded, receipts: Sequence[bytes] | None = None) -> bytes:
    """Returns the JSON of what was recorded where there is no header for the link to its receipt.

    Args:
        recorded: what was recorded.
        receipts: of all its events, if they were waited for and came.
    """
    if receipts is None:
        return _body(recorded, receipt_of(recorded.position))
    proofs = [
        EventReceipt(event.position, receipt.decode()) for event, receipt in zip(recorded.events, receipts, strict=True)
    ]
    return _body(recorded, receipt_of(recorded.position), proofs)


def recorded_body(recorded: Recorded) -> bytes:
    """Returns the JSON of what was recorded: the same bytes whenever it is asked for, by whichever version."""
    return _body(recorded)


def _body(
    recorded: Recorded,
    receipt: str | msgspec.UnsetType = msgspec.UNSET,
    receipts: list[EventReceipt] | msgspec.UnsetType = msgspec.UNSET,
) -> bytes:
    return msgspec.json.encode(
        CommandRecorded(
            recorded.position,
            recorded.first_position,
            recorded.recorded_at,
            [
                EventRecorded(event.position, event.event_id, event.stream_id, event.subject_id, event.topic)
                for event in recorded.events
            ],
            made_by(recorded),
            receipt,
            receipts,
        )
    )


def answer_command(
    recorded: Recorded,
    key: str,
    preferred: str | None = None,
    waited: int = 0,
    receipts: Sequence[bytes] | None = None,
) -> Response:
    """Returns the answer to a command.

    Args:
        recorded: what was recorded.
        key: its idempotency key.
        preferred: the client's `return` preference (RFC 7240 4.2); with `minimal` there is no body.
        waited: the client's `wait` preference, as far as it was honoured.
        receipts: of all its events, if they came meanwhile. They are proofs of today and no part of the answer that a
            repetition gets again.
    """
    headers = {
        "Ledger-Position": str(recorded.position),
        "Location": location_of(recorded, key),
        "Link": receipt_link(recorded),
    }
    tag = tag_after(recorded)
    if tag is not None:
        headers["ETag"] = tag
    if recorded.repeated:
        headers["Idempotency-Replayed"] = "true"
    applied = [f"return={preferred}"] if preferred is not None else []
    if receipts is not None:
        applied.append(f"wait={waited}")
    if applied:
        headers["Preference-Applied"] = ", ".join(applied)
    if preferred == "minimal":
        return Response(None, 204, headers)
    if receipts is None:
        return Response(recorded_body(recorded), 201, headers, "application/json")
    return Response(recorded_line(recorded, receipts), 201, headers, "application/json")


def location_of(recorded: Recorded, key: str) -> str:
    """Returns the address of what was made or changed; of the command itself where that has none of its own."""
    first = recorded.events[0]
    kind = first.topic.partition(".")[0]
    mark = recorded.events[-1]
    if mark.topic == MarkRecorded.TOPIC and made_by(recorded) == mark.event_id:
        return f"/v1/students/{mark.subject_id}/marks/{mark.event_id}"
    if first.topic == WorkAdded.TOPIC:
        return f"/v1/courses/{first.stream_id}/works"
    place = _PLACES.get(kind)
    if place is not None:
        return place.format(stream=first.stream_id, student=first.subject_id)
    return f"/v1/commands/{quote(key, safe='')}"


def answer_recorded(recorded: Recorded) -> Response:
    """Returns what became of a command, to one who asks later: the body of the first answer."""
    headers = {"Ledger-Position": str(recorded.position), "Link": receipt_link(recorded)}
    return Response(recorded_body(recorded), 200, headers, "application/json")


def show(value: object, tag: str | None = None, known: Tags | None = None) -> Response:
    """Returns what a reader is shown, as JSON; 304 where they know the tag.

    Called when everything has been read, so that a 304 was disclosed as a 200 would have been: it tells as much.
    """
    headers = {"ETag": tag} if tag is not None else {}
    if known is not None and known.match_weakly(tag):
        return Response(None, 304, headers)
    return Response(msgspec.json.encode(value), 200, headers, "application/json")
