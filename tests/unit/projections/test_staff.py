"""The staff view: each tenure, mandate and login as it stands."""

from __future__ import annotations

from datetime import date
from uuid import UUID, uuid4

from ledger.aggregates import staff
from ledger.projections.staff.projection import STAFF
from tests.support.staff import NOW, OTHER, PERSON, YESTERDAY, Book
from tests.support.views import facts_of, replay, the
from tests.support.world import TODAY


def test_tenure_is_shown_with_its_order_and_its_end() -> None:
    book = Book()
    tenure = book.assumes(level="basic")
    open_row = the(replay(STAFF, facts_of(book)), "entries", tenure)
    assert open_row.clear == (PERSON, "office", YESTERDAY, None)
    assert (open_row.body.of, open_row.body.level, open_row.body.document) == ("deputy_head", "basic", "Приказ 1")
    book.leaves(tenure, TODAY)
    row = the(replay(STAFF, facts_of(book)), "entries", tenure)
    assert row.clear == (PERSON, "office", YESTERDAY, TODAY)
    assert (row.body.document, row.body.ended_by, row.body.withdrawn) == ("Приказ 1", "Приказ 2", False)
    assert (row.record_class, row.subject_id) == ("organisation", UUID(int=0x5C))


def test_mandate_is_shown_with_its_scope_until_it_is_withdrawn() -> None:
    book = Book()
    mandate = book.mandates(scope="class_groups", named=(OTHER,), end=date(2025, 11, 1))
    book.record(
        staff.withdraw_mandate(book.register, person=PERSON, mandate_id=mandate, reason="Закончена", context=NOW)
    )
    row = the(replay(STAFF, facts_of(book)), "entries", mandate)
    assert row.clear == (PERSON, "mandate", YESTERDAY, date(2025, 11, 1))
    assert (row.body.of, row.body.scope, row.body.named) == ("auditor", "class_groups", [OTHER])
    assert (row.body.withdrawn, row.body.ended_by) == (True, "Закончена")


def test_login_is_shown_as_it_was_linked_last() -> None:
    book, login = Book(), uuid4()
    book.links(login, "staff")
    book.unlinks(login)
    gone = the(replay(STAFF, facts_of(book)), "entries", login)
    assert (gone.body.withdrawn, gone.body.ended_by, gone.clear[0]) == (True, "Уволен", PERSON)
    book.links(login, "representative", person=OTHER)
    row = the(replay(STAFF, facts_of(book)), "entries", login)
    assert (row.body.withdrawn, row.body.capacities, row.clear[0]) == (False, ["representative"], OTHER)
