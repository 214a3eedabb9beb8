"""Portfolio, retention and the disclosure register."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from ledger.aggregates.disclosures import AccessOpened, AccessRefused, disclose
from ledger.aggregates.registry import EVENTS
from ledger.ids import new_id
from ledger.projections.disclosures.projection import disclosure_view, search_token
from ledger.projections.portfolios.projection import PORTFOLIOS
from ledger.projections.retention.projection import RETENTION, happened_on
from ledger.store.secrets import Hasher
from tests.support.events import sample_event
from tests.support.school import YEAR_BEGINS, AClass, a_school
from tests.support.views import body, facts_of, keys, replay, the
from tests.support.world import TEACHER, TODAY, a_context

if TYPE_CHECKING:
    from ledger.projections.view import Key

LAST = date(2025, 10, 1)
PREFIXES = ("student.", "representation.", "consent.", "request.", "marks.", "results.", "disclosure.")
"""How the topics of a student's events begin."""


# --- portfolio --------------------------------------------------------------------------------------------------------


def test_portfolio_has_each_item_under_its_own_class() -> None:
    school = a_school()
    won = school.achieves(school.student, on=LAST)
    award = school.rewards(school.student, won, on=TODAY)
    credit = school.credits(school.student, "5", on=LAST)
    rows = replay(PORTFOLIOS, facts_of(school))
    student = school.student.subject_id
    items = {event: the(rows, "items", student, event) for event in (won, award.event_id, credit.event_id)}
    assert [row.record_class for row in items.values()] == ["achievements", "awards", "credits"]
    assert [row.clear for row in items.values()] == [(LAST,), (TODAY,), (LAST,)]
    assert [row.body.kind for row in items.values()] == ["achievement", "award", "credit"]
    assert items[award.event_id].body.basis == [won]
    assert (items[award.event_id].body.order, items[won].body.evidence) == ("Приказ 15", "Диплом 12")
    assert (items[credit.event_id].body.value, items[credit.event_id].body.organisation) == ("5", "Другая школа")


def test_marks_are_no_part_of_the_portfolio() -> None:
    school = a_school()
    school.marks(school.student, "5")
    assert replay(PORTFOLIOS, facts_of(school)) == {}


# --- retention --------------------------------------------------------------------------------------------------------


def clear_of(school: AClass, table: str, *key: object) -> Key:
    return the(replay(RETENTION, facts_of(school)), table, *key).clear


def test_clock_of_a_class_is_the_latest_day_on_which_something_happened_not_was_recorded() -> None:
    school = a_school()
    school.marks(school.student, "5", on=LAST)
    school.marks(school.student, "4", on=YEAR_BEGINS)
    assert clear_of(school, "classes", school.student.subject_id, "marks") == (LAST, 2)


def test_opening_of_the_year_does_not_start_the_clock_of_imported_marks() -> None:
    school = AClass(a_context(imported=True))
    school.marks(school.student, "5", on=date(2013, 10, 1))
    assert [event.TOPIC for _, event in school.events[-2:]] == ["marks.opened", "marks.recorded"]
    assert clear_of(school, "classes", school.student.subject_id, "marks") == (date(2013, 10, 1), 1)


def test_correction_counts_on_the_day_of_the_correction() -> None:
    school = a_school()
    mark = school.marks(school.student, "5", on=LAST)
    school.corrects(school.student, mark, "4")
    assert clear_of(school, "classes", school.student.subject_id, "marks") == (TODAY, 2)


def test_event_without_a_day_counts_on_the_day_of_its_recording() -> None:
    school = AClass(a_context(imported=True))
    student = school.enrols(on=None)
    (enrolled,) = school.history(student)
    assert happened_on(enrolled) is None
    assert clear_of(school, "classes", student.subject_id, "personal_file") == (enrolled.timestamp.date(), 1)


def test_completion_starts_the_clock_of_the_personal_file_and_other_reasons_do_not() -> None:
    school = a_school()
    completed, moved = school.enrols(), school.enrols()
    school.leaves(completed, on=LAST, reason="completed")
    school.leaves(moved, on=LAST, reason="moved_away")
    assert clear_of(school, "clocks", completed.subject_id) == (LAST, None, None)
    assert clear_of(school, "clocks", moved.subject_id) == (None, None, None)


def test_transfer_releases_what_it_names() -> None:
    school = a_school()
    both, file_only = school.enrols(), school.enrols()
    school.transfers_out(both, on=LAST)
    school.transfers_out(file_only, on=LAST, released=("personal_file",))
    assert clear_of(school, "clocks", both.subject_id) == (None, LAST, LAST)
    assert clear_of(school, "clocks", file_only.subject_id) == (None, LAST, None)


def test_return_stops_every_clock() -> None:
    school = a_school()
    school.transfers_out(school.student, on=LAST)
    school.transfers_in(school.student, on=TODAY)
    assert clear_of(school, "clocks", school.student.subject_id) == (None, None, None)


def test_retention_seals_nothing_and_knows_no_school() -> None:
    school = a_school()
    rows = replay(RETENTION, facts_of(school))
    assert all(row.body is None for row in rows.values())
    assert {row.record_class for row in rows.values()} == {"personal_file"}


def test_every_event_of_a_student_but_openings_has_a_retention_rule_and_says_its_day() -> None:
    silent = set()
    for topic, event in EVENTS.items():
        of_a_student = topic.startswith(PREFIXES)
        assert (event in RETENTION.rules) == (of_a_student and topic != "marks.opened"), topic
        if event in RETENTION.rules and happened_on(sample_event(event)) is None:
            silent.add(topic)
    assert silent == {"disclosure.made", "disclosure.refused", "disclosure.exceptional"}


# --- disclosures ------------------------------------------------------------------------------------------------------

DISCLOSURES = disclosure_view(Hasher(bytes(32)).blind_index)
VALUES: dict[str, object] = {"office": "teacher", "policy": "p", "channel": "api", "resource": "journal"}


def test_access_is_one_row_and_one_lean_row_for_each_student() -> None:
    school = a_school()
    students = (school.student.subject_id, school.enrols().subject_id)
    granted = {
        **VALUES,
        "on_behalf_of": None,
        "recipient": "Комиссия",
        "purpose": "trajectory",
        "legal_basis": "закон",
    }
    access = new_id()
    before = len(school.events)
    school.record(
        disclose(
            AccessOpened, granted, access_id=access, actor=TEACHER, students=students, categories=("marks", "awards")
        )
    )
    rows = replay(DISCLOSURES, facts_of(school))
    found = the(rows, "accesses", access)
    assert (found.subject_id, found.clear[:6]) == (TEACHER, (school.now, True, False, TEACHER, "teacher", 2))
    sealed = {"purpose": "trajectory", "legal_basis": "закон", "channel": "api", "recipient": "Комиссия"}
    tokens = [search_token(Hasher(bytes(32)).blind_index, field, value) for field, value in sealed.items()]
    assert list(found.clear[6:]) == tokens
    assert len(set(tokens)) == 4
    assert {field: getattr(found.body, field) for field in sealed} == sealed
    for number, student in enumerate(students):
        lean = the(rows, "disclosed", student, before + 2 + number)
        assert (lean.subject_id, lean.clear) == (student, (access,))
        assert (lean.body.granted, lean.body.categories) == (True, ["marks", "awards"])


def test_refused_access_stands_in_the_register_as_refused() -> None:
    school = a_school()
    access, student = new_id(), school.student.subject_id
    school.record(
        disclose(
            AccessRefused,
            {**VALUES, "purpose": "refused"},
            access_id=access,
            actor=TEACHER,
            students=(student,),
            categories=("marks",),
        )
    )
    rows = replay(DISCLOSURES, facts_of(school))
    found = the(rows, "accesses", access)
    assert (found.clear[1], found.body.legal_basis, found.clear[-1]) == (False, "", None)
    ((_, position),) = keys(rows, "disclosed")
    assert not body(rows, "disclosed", student, position).granted
