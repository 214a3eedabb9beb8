"""What a student or parent is told of an access: one sentence, in words of the school, whatever the access was."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.aggregates.disclosures import DOCUMENT_KINDS, HAND_OVER_CHANNELS
from ledger.application.disclose.shown import DisclosureLine, HandedOver
from ledger.application.disclose.telling import CHANNELS, DOCUMENTS, OFFICES, RESOURCES, tell
from ledger.policy.engine import Purpose
from ledger.policy.offices import Office
from ledger.policy.reading import Resource

ZONE = "Europe/Moscow"
LINE = DisclosureLine(
    UUID(int=1),
    7,
    datetime(2025, 9, 20, 8, 3, tzinfo=UTC),
    UUID(int=2),
    True,  # noqa: FBT003 - granted
    UUID(int=3),
    "director",
    None,
    None,
    "quality_control",
    "273-FZ art. 28(3)(11)",
    "director",
    "api",
    "portfolio",
    1,
    ["achievements"],
    False,  # noqa: FBT003 - exceptional
    None,
    None,
)
PAPER = replace(
    LINE,
    office="secretary",
    channel="paper",
    handed_over=HandedOver("extract", "17", date(2025, 9, 18), UUID(int=4), LINE.student_id),
)

WHOLE = {
    "a reading": (
        LINE,
        (
            "20 сентября 2025 г., 11:03: директор смотрел портфолио."
            " Цель: контроль качества обучения (273-FZ art. 28(3)(11))."
        ),
        (
            "2025-09-20 at 11:03, the director looked at the portfolio."
            " Purpose: control of the quality of teaching (273-FZ art. 28(3)(11))."
        ),
    ),
    "a document, by the day on which it was handed over": (
        PAPER,
        (
            "18 сентября 2025 г.: на бумаге передали выписку № 17 ученику."
            " Записал секретарь 20 сентября 2025 г., 11:03. Цель: контроль качества обучения (273-FZ art. 28(3)(11))."
        ),
        (
            "2025-09-18, an extract no. 17 was handed over on paper to the student."
            " Recorded by the secretary on 2025-09-20 at 11:03."
            " Purpose: control of the quality of teaching (273-FZ art. 28(3)(11))."
        ),
    ),
}


def test_every_office_resource_and_purpose_has_words() -> None:
    assert set(OFFICES) == set(Office)
    assert set(RESOURCES) == set(Resource)
    assert set(DOCUMENTS) == set(DOCUMENT_KINDS)
    assert set(HAND_OVER_CHANNELS) <= set(CHANNELS)
    for purpose in Purpose:
        told = tell(replace(LINE, purpose=purpose.value), ZONE)
        assert purpose.value not in told.ru


@pytest.mark.parametrize(("line", "ru", "en"), WHOLE.values(), ids=WHOLE)
def test_entry_says_when_who_what_why_and_on_which_basis(line: DisclosureLine, ru: str, en: str) -> None:
    told = tell(line, ZONE)
    assert (told.ru, told.en) == (ru, en)


@pytest.mark.parametrize(
    ("changed", "ru", "en"),
    [
        ({"granted": False}, "отказано", "was refused"),
        ({"students": 25}, "вместе с другими учениками: 24", "with 24 others"),
        ({"recipient": "Комиссия"}, "для: Комиссия", "for: Комиссия"),
        ({"channel": "letter"}, "письмом", "by letter"),
        ({"document": "Запрос суда № 7"}, "по документу: Запрос суда № 7.", "asked for by: Запрос суда № 7."),
        ({"exceptional": True, "reason": "Приступ."}, "в исключительном порядке директор", "Reason: Приступ."),
        ({"resource": "later"}, "later", "later"),
    ],
)
def test_sentence_says_what_was_special(changed: dict[str, object], ru: str, en: str) -> None:
    told = tell(replace(LINE, **changed), ZONE)  # type: ignore[arg-type]  # fields of its own
    assert ru in told.ru
    assert en in told.en


def test_document_is_told_by_who_received_it_and_a_refused_one_by_what_was_wanted() -> None:
    assert PAPER.handed_over is not None
    parent = replace(PAPER, handed_over=replace(PAPER.handed_over, received_by=UUID(int=9)))
    assert "выписку № 17 представителю" in tell(parent, ZONE).ru
    refused = tell(replace(PAPER, granted=False, handed_over=None), ZONE)
    assert "секретарь хотел передать на бумаге портфолио — отказано." in refused.ru
    assert "the secretary wanted to hand over the portfolio on paper and was refused." in refused.en


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - the zone is added
    st.sampled_from(list(Office)),
    st.sampled_from(list(Resource)),
    st.sampled_from([*CHANNELS, "api", "fax"]),
    st.booleans(),
    st.integers(0, 50),
)
def test_each_entry_is_one_sentence_and_perhaps_its_purpose(
    at: datetime,
    office: Office,
    resource: Resource,
    channel: str,
    granted: bool,  # noqa: FBT001 - drawn
    students: int,
) -> None:
    line = replace(
        LINE,
        recorded_at=at.replace(tzinfo=UTC),
        office=office.value,
        resource=resource.value,
        channel=channel,
        granted=granted,
        students=students,
    )
    told = tell(line, ZONE)
    for text in (told.ru, told.en):
        assert text.endswith(".")
        assert "\n" not in text
        assert "None" not in text
