"""Whatever is handed over, by whichever office, to whomever, for whatever: only what a reading would have shown.

The policies are asked here a second time, apart from the command, with terms that a naive book of the family gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.aggregates.disclosures import AccessRefused, DataHandedOver, DisclosureRefused, DocumentHandedOver
from ledger.application.record.hand_overs import RecordHandOver, readings_of
from ledger.errors import Refused
from ledger.ids import new_id
from ledger.policy.engine import Purpose
from ledger.policy.offices import RECORDING, Actor, Office
from ledger.policy.reading import Asking, Granted, Relation, decide_reading
from ledger.store.commands import RefusedOnRecord
from ledger.streams.base import Context
from ledger.streams.record_classes import STUDENT_CLASSES
from tests.support.examples import examples
from tests.support.people import FATHER, MOTHER, SEPTEMBER, STRANGER, consents_to, ends, names
from tests.support.school import AClass, a_school
from tests.support.world import TODAY

LEFT = TODAY - timedelta(days=3)
"""The father's last day was the one before."""
PRESS = "Оргкомитет"


@dataclass(frozen=True)
class Paper:
    """What somebody says was handed over; `whom` is one of those who could have received it."""

    office: Office
    purpose: Purpose
    categories: tuple[str, ...]
    whom: str
    asked_by: str | None
    ago: int
    several: bool

    @property
    def day(self) -> date:
        return TODAY - timedelta(days=self.ago)

    @property
    def outside(self) -> bool:
        """Whether it left the school and the family, by a book that knows who speaks for whom."""
        if self.several:  # the other one has the mother alone
            return self.whom != "mother"
        return not (self.whom in ("student", "mother") or (self.whom == "father" and self.day < LEFT))


papers = st.builds(
    Paper,
    st.sampled_from(sorted(RECORDING["hand_overs"])),
    st.sampled_from(Purpose),
    st.lists(st.sampled_from(STUDENT_CLASSES), min_size=1, max_size=4, unique=True).map(tuple),
    st.sampled_from(("student", "mother", "father", "stranger", "press", "court")),
    st.sampled_from((None, "Запрос № 7")),
    st.integers(0, 6),
    st.booleans(),
)


@settings(max_examples=examples(150), deadline=None)
@given(papers)
def test_handed_over_is_only_what_some_reading_shows_for_that_purpose(paper: Paper) -> None:
    school = a_school()
    first, second = school.student, school.enrols()
    students = (first.subject_id, second.subject_id) if paper.several else (first.subject_id,)
    for student in (first, second):
        names(school, student, MOTHER, effective_on=SEPTEMBER)
        consents_to(school, student, MOTHER, recipients=(PRESS,), effective_on=TODAY - timedelta(days=2))
    ends(school, first, names(school, first, FATHER), on=LEFT)
    persons: dict[str, UUID] = {"student": first.subject_id, "mother": MOTHER, "father": FATHER, "stranger": STRANGER}
    command = RecordHandOver(
        school=new_id(),
        students=students,
        categories=paper.categories,
        document_kind="copy",
        document_number="1",
        channel="paper",
        purpose=paper.purpose.value,
        effective_on=paper.day,
        received_by=persons.get(paper.whom),
        recipient={"press": PRESS, "court": "Синтетический суд"}.get(paper.whom),
        asked_by=paper.asked_by,
    )
    consented = paper.whom == "press" and paper.ago <= 2 and {"personal_file", "achievements"} >= set(paper.categories)
    asking = Asking(paper.purpose, outside=paper.outside, document=paper.asked_by is not None)
    allowed = any(
        isinstance(
            decide_reading(Actor(new_id(), paper.office), resource, Relation(consented=consented), asking), Granted
        )
        for resource in readings_of(paper.categories)
    )
    events, code = outcome(command, school, paper.office)
    if code is not None:  # allowed by a document, and nobody says to whom it went by name
        assert (allowed, paper.outside, code) == (True, True, "recipient_missing")
    elif allowed:
        assert events[: 1 + len(students)] == [DocumentHandedOver, *[DataHandedOver] * len(students)]
    else:
        assert events[: 1 + len(students)] == [AccessRefused, *[DisclosureRefused] * len(students)]


def outcome(command: RecordHandOver, school: AClass, office: Office) -> tuple[list[type], str | None]:
    """Returns what is recorded, refused or not; or the code of the one rule that it breaks."""
    try:
        proposals = command.decide(school, Context(TODAY, new_id(), office.value))
    except RefusedOnRecord as refused:
        proposals = refused.proposals
    except Refused as refused:
        (violation,) = refused.violations
        return [], violation.code
    return [one.event for one in proposals], None
