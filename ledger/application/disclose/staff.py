"""The register of the school's people, listed; records about no student, for those who keep it or control it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, cast
from uuid import UUID

from ledger.aggregates.staff import MANDATES
from ledger.application.acting import confirm
from ledger.application.disclose.opening import look_at, open_school_rows, table
from ledger.application.disclose.school import next_of
from ledger.application.disclose.shown import Page
from ledger.application.tags import weak
from ledger.errors import Forbidden
from ledger.policy.offices import Office
from ledger.projections.staff import queries

if TYPE_CHECKING:
    from ledger.application.ledger import Ledger
    from ledger.policy.offices import Actor
    from ledger.projections.staff.projection import EntryBody
    from ledger.projections.view import Key, Row

VIEW = "staff"
READERS = frozenset(
    {Office.DIRECTOR, Office.DEPUTY_HEAD, Office.SECRETARY, Office.AUDITOR, Office.INSPECTOR, Office.SYSTEM}
)


@dataclass(frozen=True, slots=True)
class StaffEntry:
    """A tenure (`office`), a mandate (`office` is its kind) or a linked login (`entry_id` is its id).

    `ends_on` is the last day; `withdrawn` entries are not in force whatever their days say.
    """

    entry_id: UUID
    person_id: UUID
    kind: str
    office: str | None
    level: str | None
    scope: str | None
    named: list[UUID]
    capacities: list[str]
    document: str
    starts_on: date
    ends_on: date | None
    withdrawn: bool
    ended_by: str


def show_entry(key: Key, row: Row) -> StaffEntry:
    """Returns an opened row as it is shown."""
    body = cast("EntryBody", row.body)
    person, kind, starts_on, ends_on = row.clear
    return StaffEntry(
        cast("UUID", key[0]),
        cast("UUID", person),
        cast("str", kind),
        body.of or None,
        body.level,
        body.scope or None,
        body.named,
        body.capacities,
        body.document,
        cast("date", starts_on),
        cast("date | None", ends_on),
        body.withdrawn,
        body.ended_by,
    )


async def list_staff(
    ledger: Ledger,
    actor: Actor,
    *,
    person: UUID | None,
    kind: str | None,
    on: date | None,
    after: UUID | None,
    limit: int,
    min_position: int = 0,
) -> Page[StaffEntry]:
    """Returns a page of the register. Which students a mandate names is told to those who may know of every student.

    Raises:
        Forbidden: the office neither keeps nor controls it; one's own entries anybody may read.
    """
    if actor.office not in READERS and (person is None or person != actor.id):
        raise Forbidden(
            f"The office {actor.office} does not read the register of others.", help="Your own: ?person_id=<your id>."
        )
    store = table(ledger, VIEW, "entries")
    question = queries.entries(store, person=person, kind=kind, on=on, after=after, limit=limit + 1)
    stored, position = await look_at(ledger, VIEW, question, min_position)
    opened = await open_school_rows(ledger, store, stored[:limit])
    whole = actor.office not in MANDATES or await confirm(ledger, actor)
    entries = [
        entry if whole or entry.person_id == actor.id else replace(entry, named=[])
        for entry in (show_entry(key, row) for key, row in opened)
    ]
    following = next_of(stored, limit)
    tag = weak(following, *((entry.entry_id, row.position) for entry, (_, row) in zip(entries, opened, strict=True)))
    return Page(entries, following, position, tag)
