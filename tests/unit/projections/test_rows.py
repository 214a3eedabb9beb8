"""Rows while events are applied: what is known of them, what was put, and what is asked of the database once."""

from __future__ import annotations

from uuid import UUID

from ledger.projections.view import Key, Row, Rows

STUDENT = UUID(int=7)


def a_key() -> Key:
    """Returns the same key each time, of an id that is another object: as two events have it."""
    return (UUID(int=STUDENT.int), "marks")


def a_row(position: int) -> Row:
    return Row(STUDENT, "marks", position)


def test_row_that_was_put_is_got_by_an_equal_key_and_in_its_own_table_only() -> None:
    rows = Rows()
    rows.put("classes", a_key(), a_row(1))
    assert rows.get("classes", a_key()) == a_row(1)
    assert rows.get("clocks", a_key()) is None
    assert list(rows.items()) == [(("classes", a_key()), a_row(1))]


def test_rows_that_were_put_are_taken_once_as_they_stand_last_in_order() -> None:
    rows = Rows()
    rows.load("classes", a_key(), a_row(1))
    rows.put("clocks", a_key(), a_row(2))
    rows.put("classes", a_key(), a_row(3))
    rows.put("clocks", a_key(), a_row(4))
    assert rows.take_changed() == [(("clocks", a_key()), a_row(4)), (("classes", a_key()), a_row(3))]
    assert rows.take_changed() == []
    rows.put("classes", a_key(), a_row(5))
    assert rows.take_changed() == [(("classes", a_key()), a_row(5))]
    assert rows.get("clocks", a_key()) == a_row(4)


def test_what_was_expected_and_is_not_there_is_not_looked_for_again() -> None:
    asked: list[tuple[str, Key]] = []

    def find(table: str, key: Key) -> Row | None:
        asked.append((table, key))
        return None

    rows = Rows(find)
    assert rows.expect("classes", a_key())
    assert not rows.expect("classes", a_key())
    assert rows.get("classes", a_key()) is None
    assert asked == []
    assert [rows.get("clocks", a_key()) for _ in range(2)] == [None, None]
    assert asked == [("clocks", a_key())]


def test_what_was_expected_is_what_was_loaded_and_nobody_writes_it_again() -> None:
    rows = Rows()
    rows.expect("classes", a_key())
    rows.load("classes", a_key(), a_row(1))
    assert rows.get("classes", a_key()) == a_row(1)
    assert not rows.expect("classes", a_key())
    assert rows.take_changed() == []
