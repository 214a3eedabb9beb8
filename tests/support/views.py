"""Views in memory: the events of a `World` as facts, and what a view makes of them.

facts = facts_of(school)
rows = replay(JOURNALS, facts)
body = the(rows, "entries", mark_id).body
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ledger.projections.view import Fact, Rows
from ledger.seal.entry import Entry
from ledger.store.header import encode_header
from tests.support.commands import header
from tests.support.world import TEACHER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ledger.projections.view import Key, Row, View
    from tests.support.world import World

Stored = dict[tuple[str, "Key"], "Row"]


def facts_of(world: World, *, actor: UUID = TEACHER) -> list[Fact]:
    """Returns every event of a world with its columns, as if `actor` had recorded all of them."""
    encoded = encode_header(header(actor=actor))
    versions: dict[UUID, int] = {}
    facts = []
    for position, (ref, event) in enumerate(world.events, start=1):
        version = versions[ref.stream_id] = versions.get(ref.stream_id, 0) + 1
        entry = Entry(
            position,
            event.event_id,
            ref.stream_id,
            version,
            ref.subject_id,
            event.TOPIC,
            event.timestamp,
            event.RECORD_CLASS.value,
            1,
            b"",
            encoded,
            b"",
        )
        facts.append(Fact(entry, event))
    return facts


def replay(view: View, facts: Iterable[Fact]) -> Stored:
    """Returns the rows of a view after all facts, applied one after another."""
    rows = Rows()
    for fact in facts:
        view.apply(fact, rows)
    return dict(rows.items())


def in_batches(view: View, facts: Sequence[Fact], sizes: Iterable[int]) -> Stored:
    """Returns the rows after batches of the given sizes, each of which sees only what it loads, as in the database."""
    stored: Stored = {}
    rest = list(facts)
    for size in [*sizes, len(rest)]:
        batch, rest = rest[:size], rest[size:]
        rows = Rows(lambda table, key: copy.deepcopy(stored.get((table, key))))
        for fact in batch:
            rule = view.rules.get(type(fact.event))
            if rule is not None and rule.reads is not None:
                for table, key in rule.reads(fact):
                    rows.load(table, key, copy.deepcopy(stored.get((table, key))))
        for fact in batch:
            view.apply(fact, rows)
        stored.update(rows.take_changed())
    return stored


def the(rows: Stored, table: str, *key: object) -> Row:
    """Returns a row that must be there."""
    return rows[table, key]


def body(rows: Stored, table: str, *key: object) -> Any:  # noqa: ANN401 - of whatever shape the table seals
    """Returns what is sealed of a row that must be there."""
    return rows[table, key].body


def keys(rows: Stored, table: str) -> list[Key]:
    """Returns the keys of a table's rows."""
    return [key for name, key in rows if name == table]
