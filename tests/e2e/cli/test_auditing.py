"""`ledger audit` names what somebody altered behind the ledger's back, and `ledger rebuild` restores views."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ledger.cli.tamper import altered, owner_is_refused
from ledger.store.database import Database
from tests.support.tampering import schema_of_view

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from ledger.store.database import Row
    from tests.e2e.cli.conftest import Imported

JOURNALS, ROSTERS = (schema_of_view(Database("", "ledger"), view) for view in ("journals", "rosters"))


@contextmanager
def _altered_view(tiny: Imported, owner: psycopg.Connection[Row], *statements: str) -> Iterator[None]:
    """Alters a view, and lets `rebuild` put it right afterwards."""
    for statement in statements:
        done = owner.execute(statement)
        assert done.rowcount in (-1, 1, 2)
    try:
        yield
    finally:
        tiny.cli.works("rebuild")


def test_audit_is_equal_and_says_so(tiny: Imported) -> None:
    shown = tiny.cli.works("audit")
    assert "Equal: every view is what the history says." in shown.out
    (last,) = tiny.cli.works("audit", "--json").lines
    assert last["equal"]
    assert last["findings"] == 0
    assert {view["view"] for view in last["views"]} == {
        "rosters",
        "journals",
        "portfolios",
        "retention",
        "disclosures",
        "staff",
        "requests",
    }
    assert all(view["served"] == view["replayed"] for view in last["views"])


def test_altered_event_is_named_by_position_and_id(tiny: Imported, owner: psycopg.Connection[Row]) -> None:
    row = owner.execute(
        "SELECT position, event_id FROM ledger.events WHERE topic = 'marks.recorded' ORDER BY position LIMIT 1"
    ).fetchone()
    assert row is not None
    position, event_id = row
    database = tiny.cli.database(tiny.server)
    assert owner_is_refused(database, position)
    with altered(database, position):
        shown = tiny.cli.fails("audit")
        *findings, last = tiny.cli.fails("audit", "--json").lines
    assert f"events: position {position} (event {event_id}, marks.recorded" in shown.out
    assert "NOT EQUAL." in shown.out
    assert not last["equal"]
    assert findings[0]["where"] == "events"
    assert findings[0]["record"].startswith(f"position {position} (event {event_id}")
    tiny.cli.works("audit")


def test_shifted_date_in_a_view_is_named(tiny: Imported, owner: psycopg.Connection[Row]) -> None:
    one = f"(SELECT entry_id FROM {JOURNALS}.entries ORDER BY 1 LIMIT 1)"
    row = owner.execute(f"SELECT entry_id FROM {JOURNALS}.entries ORDER BY 1 LIMIT 1").fetchone()
    assert row is not None
    shift = f"UPDATE {JOURNALS}.entries SET effective_on = effective_on + 1 WHERE entry_id = {one}"
    with _altered_view(tiny, owner, shift):
        failed = tiny.cli.fails("audit")
    assert f"view journals, table entries: entry_id {row[0]}:" in failed.out
    tiny.cli.works("audit")


def test_sealed_bytes_that_changed_places_are_named(tiny: Imported, owner: psycopg.Connection[Row]) -> None:
    rows = owner.execute(
        f"SELECT DISTINCT ON (subject_id) entry_id FROM {JOURNALS}.entries ORDER BY subject_id"
    ).fetchall()
    left, right = (str(row[0]) for row in rows[:2])
    swap = (
        f"UPDATE {JOURNALS}.entries e SET sealed = o.sealed FROM {JOURNALS}.entries o"
        f" WHERE (e.entry_id, o.entry_id) IN (('{left}'::uuid, '{right}'::uuid), ('{right}'::uuid, '{left}'::uuid))"
    )
    with _altered_view(tiny, owner, swap):
        failed = tiny.cli.fails("audit")
    for entry in (left, right):
        assert f"view journals, table entries: entry_id {entry}: A sealed value does not open" in failed.out


def test_missing_and_invented_rows_are_named_and_a_rebuild_restores_the_view(
    tiny: Imported, owner: psycopg.Connection[Row]
) -> None:
    row = owner.execute(f"SELECT student_id FROM {ROSTERS}.students ORDER BY 1 LIMIT 1").fetchone()
    assert row is not None
    owner.execute(f"DELETE FROM {ROSTERS}.students WHERE student_id = %s", row)
    *_, found, last = tiny.cli.fails("audit", "--json").lines
    assert found == {
        "where": "view rosters, table students",
        "record": f"student_id {row[0]}",
        "what": "The row is missing.",
    }
    assert [view["view"] for view in last["views"] if view["served"] != view["replayed"]] == ["rosters"]
    rebuilt = tiny.cli.works("rebuild", "rosters", "--json").lines
    assert [line["view"] for line in rebuilt] == ["rosters"]
    assert tiny.cli.works("audit", "--json").last["equal"]


def test_rebuild_of_all_views_leaves_them_equal_to_the_history(tiny: Imported) -> None:
    shown = tiny.cli.works("rebuild")
    for view in ("rosters", "journals", "portfolios", "retention", "disclosures"):
        assert f"{view}: перестроено / rebuilt up to position" in shown.out
    tiny.cli.works("audit")


@pytest.mark.parametrize("name", ["nope", "events"])
def test_rebuild_of_an_unknown_view_names_those_that_there_are(name: str, tiny: Imported) -> None:
    assert "rosters" in tiny.cli.fails("rebuild", name, code=2).err
