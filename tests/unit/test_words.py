"""The school's words: every event that a student's history can have is called something, and so are its fields."""

from __future__ import annotations

import inspect

from ledger.aggregates.registry import EVENTS
from ledger.application import words
from ledger.streams.base import LedgerEvent
from ledger.streams.record_classes import STUDENT_CLASSES

OF_THE_READER = {
    "access.opened", "access.refused", "access.grounded", "access.nobody_found", "access.handed_over",
    "access.turned_away",
}  # fmt: skip
"""Events about whoever looks; they stand in no student's history."""

SHOWN = {
    topic: event
    for topic, event in EVENTS.items()
    if event.RECORD_CLASS in STUDENT_CLASSES and topic not in OF_THE_READER
}


def _fields(event: type[LedgerEvent]) -> set[str]:
    return set(inspect.get_annotations(event)) - {"TOPIC", "RECORD_CLASS", "LANE"}


def test_every_event_of_a_student_has_a_title_in_both_languages() -> None:
    assert set(words.TITLES) == set(SHOWN)
    assert all(" / " in title for title in words.TITLES.values())


def test_every_field_of_these_events_has_a_name_and_no_name_is_left_over() -> None:
    fields = {name for event in SHOWN.values() for name in _fields(event)}
    assert set(words.FIELDS) == fields


def test_event_is_told_without_its_empty_fields() -> None:
    told = words.tell({"value": "5", "comment": "", "permit_id": None, "flags": [], "effective_on": "2025-09-22"})
    assert told == "значение / value 5; дата / day 2025-09-22"


def test_lists_and_pairs_are_told_in_one_line() -> None:
    told = words.tell({"foreign_ids": [["sis", "4711"], ["eis", "1"]], "reason": "two\nlines"})
    assert told == "другие идентификаторы / foreign ids sis:4711, eis:1; причина / reason two lines"


def test_event_that_says_nothing_and_a_topic_of_a_later_version_are_told_all_the_same() -> None:
    assert words.tell({}) == "—"
    assert words.title("student.renamed") == "student.renamed"
