"""Answers: JSON by msgspec, made from what was recorded or shown and nothing else."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal
from uuid import UUID

import msgspec
from starlette.responses import Response

from ledger.aggregates.class_group import ClassGroupFormed
from ledger.aggregates.course import CourseOpened
from ledger.aggregates.school import SchoolFounded
from ledger.aggregates.student.marks import AttendanceNoted, MarkRecorded, MarksOpened
from ledger.aggregates.student.record import StudentEnrolled
from ledger.aggregates.webhooks import WebhookRegistered
from ledger.application.readiness import Part

if TYPE_CHECKING:
    from ledger.store.commands import Recorded

_STREAMS = frozenset(
    event.TOPIC for event in (SchoolFounded, ClassGroupFormed, CourseOpened, StudentEnrolled, WebhookRegistered)
)
_LESSON = frozenset({MarkRecorded.TOPIC, AttendanceNoted.TOPIC})


class EventRecorded(msgspec.Struct):
    """An event that was recorded: its position, its own id, the stream and subject it belongs to, and its topic."""

    position: int
    event_id: UUID
    stream_id: UUID
    subject_id: UUID
    topic: str


class CommandRecorded(msgspec.Struct):
    """What a command recorded.

    `position` is that of its last event: a read with this `min_position` shows the effect. `id` names what was made;
    it is null where a lesson made several marks (their ids are in `events`).
    """

    position: int
    first_position: int
    recorded_at: datetime
    events: list[EventRecorded]
    id: UUID | None


class Alive(msgspec.Struct):
    """The process answers."""

    status: Literal["alive"]


class Ready(msgspec.Struct):
    """The service can do its work; each part says how far it is."""

    status: Literal["ready"]
    parts: list[Part]


def made_by(recorded: Recorded) -> UUID | None:
    """Returns the id of what was made, from the recorded columns alone, so that a repetition answers the same.

    That is the stream of a school, class group, course, student or webhook that was opened, else the (first) event.
    """
    events = [event for event in recorded.events if event.topic != MarksOpened.TOPIC]
    if len(events) > 1 and events[0].topic in _LESSON:
        return None
    first = events[0]
    return first.stream_id if first.topic in _STREAMS else first.event_id


def recorded_body(recorded: Recorded) -> bytes:
    """Returns the JSON of what was recorded: the same bytes whenever it is asked for."""
    return msgspec.json.encode(
        CommandRecorded(
            recorded.position,
            recorded.first_position,
            recorded.recorded_at,
            [EventRecorded(*event) for event in recorded.events],
            made_by(recorded),
        )
    )


def answer_recorded(recorded: Recorded, status: int = 201) -> Response:
    """Returns the answer to a command."""
    headers = {"Ledger-Position": str(recorded.position)}
    if recorded.repeated and status == 201:  # noqa: PLR2004 - Created: a look-up is no repetition
        headers["Idempotency-Replayed"] = "true"
    return Response(recorded_body(recorded), status, headers, "application/json")


def show(value: object) -> Response:
    """Returns what a reader is shown, as JSON."""
    return Response(msgspec.json.encode(value), media_type="application/json")
