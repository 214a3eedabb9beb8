"""Documents handed over on paper: decided as their reading would be, told by the register, and vouching for nothing."""

from __future__ import annotations

import asyncio
import csv
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from ledger.application.disclose.exporting import csv_header, csv_lines
from ledger.application.disclose.findings import read_findings
from ledger.application.disclose.history import read_history
from ledger.application.disclose.register import EVERYTHING, RegisterQuery, export_register, read_register
from ledger.application.disclose.retention import read_retention
from ledger.application.disclose.who_saw import who_saw
from ledger.application.reconciliation import Reconciler
from ledger.application.record.consents import GiveConsent
from ledger.application.record.hand_overs import RecordHandOver, readings_of
from ledger.application.record.representation import EndRepresentation, NameRepresentative
from ledger.bootstrap import open_ledger
from ledger.errors import Forbidden, NotFound, Refused
from ledger.policy.offices import Actor, Office
from ledger.policy.reading import Resource
from ledger.policy.watching import Kind
from ledger.store.openings import acting
from ledger.streams.record_classes import STUDENT_CLASSES
from tests.integration.application.test_reconciliation import open_behind_the_gate
from tests.support.desk import DIRECTOR, TEACHER, Desk, reads
from tests.support.people import MOTHER, SEPTEMBER
from tests.support.world import TODAY

if TYPE_CHECKING:
    import psycopg

    from ledger.bootstrap import Foundation
    from ledger.store.database import Row

SECRETARY = Actor(uuid4(), Office.SECRETARY)
DEPUTY = Actor(uuid4(), Office.DEPUTY_HEAD)
AUDITOR = Actor(uuid4(), Office.AUDITOR)
YESTERDAY = TODAY - timedelta(days=1)
COURT = {"recipient": "Синтетический суд", "purpose": "statutory_duty", "asked_by": "Запрос № 7"}
TOPICS = (
    "SELECT topic, subject_id FROM events WHERE topic LIKE 'access.%' OR topic LIKE 'disclosure.%' ORDER BY position"
)


def a_paper(desk: Desk, *students: UUID, **changes: Any) -> RecordHandOver:  # noqa: ANN401 - fields by name
    """Returns the command of an extract given to the student (to the one whom it is about), unless told otherwise."""
    values: dict[str, Any] = {
        "categories": ("personal_file",), "document_kind": "extract", "document_number": "17", "channel": "paper",
        "purpose": "own_request",
    }  # fmt: skip
    if not changes.keys() & {"recipient", "received_by"}:
        values["received_by"] = students[0]
    return RecordHandOver(school=desk.school, students=students, **(values | changes))


async def names(desk: Desk, student: UUID, *, since: date = SEPTEMBER) -> UUID:
    recorded = await desk.does(
        NameRepresentative(
            school=desk.school,
            student_id=student,
            person=MOTHER,
            kind="parent",
            document_kind="birth_certificate",
            document="I-АБ 000000",
            document_on=date(2012, 5, 20),
            effective_on=since,
        )
    )
    return recorded.events[0].event_id


def noted(owner: psycopg.Connection[Row]) -> list[tuple[str, UUID]]:
    return [(row[0], row[1]) for row in owner.execute(TOPICS).fetchall()]


async def test_hand_over_stands_in_the_register_and_tells_the_family(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    student, other = await desk.enrols(2)
    person = uuid4()
    recorded = await desk.does(
        a_paper(desk, student, other, effective_on=YESTERDAY, handed_by=person, document_kind="list", **COURT),
        SECRETARY,
    )
    assert noted(owner) == [
        ("access.handed_over", SECRETARY.id), ("disclosure.handed_over", student), ("disclosure.handed_over", other),
        ("access.grounded", SECRETARY.id),
    ]  # fmt: skip
    await desk.catches_up()
    page = await read_register(desk.ledger, reads(AUDITOR), RegisterQuery(channel="paper"), before=None, limit=50)
    assert {line.student_id for line in page.items} == {student, other}
    line = next(line for line in page.items if line.student_id == student)
    assert (line.granted, line.actor, line.office, line.students) == (True, SECRETARY.id, "secretary", 2)
    assert (line.purpose, line.policy, line.resource) == ("statutory_duty", "handed-over-by-statute", "student")
    assert (line.recipient, line.document, line.categories) == (COURT["recipient"], "Запрос № 7", ["personal_file"])
    assert line.access_id == recorded.events[0].stream_id
    paper = line.handed_over
    assert paper is not None
    assert (paper.kind, paper.number, paper.effective_on, paper.handed_by, paper.received_by) == (
        "list", "17", YESTERDAY, person, None,
    )  # fmt: skip
    for query in (
        RegisterQuery(student, recipient=COURT["recipient"]),
        RegisterQuery(student, purpose="statutory_duty"),
    ):
        found = await read_register(desk.ledger, reads(AUDITOR), query, before=None, limit=50)
        assert [one.access_id for one in found.items] == [line.access_id]
    told = await who_saw(desk.ledger, reads(Actor(student, Office.STUDENT, frozenset({student}))), student, before=None,
        limit=50)  # fmt: skip
    sentence = told.items[-1].text
    assert "на бумаге передали список № 17 (вместе с другими учениками: 1) для: Синтетический суд. Записал" in sentence
    assert sentence.endswith("(152-FZ art. 6(1)(2); S0-6.2, S1-5.2), по документу: Запрос № 7.")
    shown = await read_history(desk.ledger, reads(DIRECTOR), student, after=0, limit=50)
    (event,) = [one for one in shown.items if one.topic == "disclosure.handed_over"]
    assert event.state is not None
    assert (event.state["access_id"], event.state["categories"]) == (str(line.access_id), ("personal_file",))
    made = await export_register(desk.ledger, reads(AUDITOR), RegisterQuery(student, channel="paper"))
    lines = [line async for batch in made.batches for line in batch]
    (columns,) = csv.DictReader((csv_header() + csv_lines(lines)).decode().splitlines())
    assert (columns["handed_over.kind"], columns["handed_over.effective_on"]) == ("list", YESTERDAY.isoformat())
    assert desk.audits().findings == []


async def test_hand_over_is_known_to_retention_and_to_findings(desk: Desk) -> None:
    (student,) = await desk.enrols()
    await desk.does(a_paper(desk, student, effective_on=YESTERDAY), SECRETARY)
    await desk.catches_up()
    retention = await read_retention(desk.ledger, reads(DIRECTOR), student)
    (kept,) = [line for line in retention.lines if line.record_class == "disclosures"]
    assert (kept.last_on, kept.events) == (YESTERDAY, 1)
    found = await read_findings(desk.ledger, reads(AUDITOR), kind=Kind.BURST)
    assert (found.items, found.accesses) == ([], 1)


TO_FAMILY, TO_COURT, TO_PRESS = "to the family", "to a court", "to a newspaper"
RESULTS = ("personal_file", "final_results")


ALLOWED: tuple[tuple[Actor, str, str, tuple[str, ...], str | None], ...] = (
    (SECRETARY, "own_request", TO_FAMILY, ("personal_file",), "secretary-answers-request"),
    (SECRETARY, "custody", TO_FAMILY, ("achievements", "awards"), "secretary-is-custodian"),
    (SECRETARY, "custody", TO_FAMILY, ("representation",), "secretary-is-custodian"),
    (SECRETARY, "own_request", TO_FAMILY, RESULTS, None),
    (SECRETARY, "quality_control", TO_FAMILY, ("personal_file",), None),
    (SECRETARY, "custody", TO_COURT, ("personal_file",), None),
    (SECRETARY, "statutory_duty", TO_COURT, ("marks",), "handed-over-by-statute"),
    (SECRETARY, "statutory_duty", TO_COURT, ("consents",), "handed-over-by-statute"),
    (SECRETARY, "statutory_duty", TO_PRESS, ("personal_file",), None),
    (SECRETARY, "consent", TO_PRESS, ("achievements",), None),
    (DIRECTOR, "own_request", TO_FAMILY, RESULTS, "director-answers-request"),
    (DIRECTOR, "own_request", TO_FAMILY, STUDENT_CLASSES, "director-answers-request"),
    (DIRECTOR, "own_request", TO_COURT, RESULTS, None),
    (DIRECTOR, "quality_control", TO_PRESS, ("personal_file",), None),
    (DEPUTY, "quality_control", TO_FAMILY, ("marks",), "deputy-head"),
    (DEPUTY, "statutory_duty", TO_COURT, ("marks",), None),
)
"""Who hands over what to whom, for which purpose, and the policy that allows it (None: it is refused)."""


async def test_handed_over_is_what_the_office_reads_for_that_purpose_and_nothing_else(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    whoms: dict[str, dict[str, Any]] = {
        TO_FAMILY: {"received_by": MOTHER},
        TO_COURT: {"recipient": COURT["recipient"], "asked_by": COURT["asked_by"]},
        TO_PRESS: {"recipient": "Синтетическая газета"},
    }
    students = await desk.enrols(len(ALLOWED))
    for student, (actor, purpose, whom, categories, policy) in zip(students, ALLOWED, strict=True):
        await names(desk, student)
        paper = a_paper(desk, student, categories=categories, purpose=purpose, **whoms[whom])
        before = len(noted(owner))
        if policy is not None:
            await desk.does(paper, actor)
            continue
        left = [("access.refused", actor.id), ("disclosure.refused", student)]
        left += [("access.grounded", actor.id)] if whom == TO_COURT else []
        for attempt in (paper, replace(paper, access_id=uuid4())):
            with pytest.raises(Forbidden) as refused:
                await desk.does(attempt, actor, key=f"once-{student}", content=b"1")
            assert "recorded" in refused.value.help
        assert noted(owner)[before:] == left * 2, "A refusal is not what the key stands for; each attempt is recorded."
    await desk.catches_up()
    for student, (_, purpose, _, categories, policy) in zip(students, ALLOWED, strict=True):
        page = await read_register(desk.ledger, reads(AUDITOR), RegisterQuery(student), before=None, limit=50)
        lines = [(line.granted, line.channel, line.categories) for line in page.items]
        granted = policy is not None
        assert lines == [(granted, "paper", list(categories))] * (1 if granted else 2)
        if granted:
            assert (page.items[0].policy, page.items[0].purpose) == (policy, purpose)
        else:
            assert page.items[0].handed_over is None


async def test_who_represents_nobody_on_that_day_is_an_outsider(desk: Desk) -> None:
    student, sibling = await desk.enrols(2)
    named = await names(desk, student, since=YESTERDAY)
    to_her = {"received_by": MOTHER, "purpose": "custody"}
    await desk.does(a_paper(desk, student, **to_her), SECRETARY)
    await desk.does(a_paper(desk, student, effective_on=YESTERDAY, **to_her), SECRETARY)
    for paper in (
        a_paper(desk, student, effective_on=YESTERDAY - timedelta(days=1), **to_her),
        a_paper(desk, student, sibling, **to_her),
        a_paper(desk, student, received_by=uuid4(), purpose="custody"),
        a_paper(desk, student, sibling, received_by=student, purpose="custody"),
    ):
        with pytest.raises(Forbidden, match="outsiders"):
            await desk.does(paper, SECRETARY)
    ending = EndRepresentation(
        school=desk.school,
        student_id=student,
        representation_id=named,
        reason="rights_taken",
        document="Решение 2-7/2025",
        effective_on=TODAY,
    )
    await desk.does(ending)
    with pytest.raises(Forbidden, match="outsiders"):
        await desk.does(a_paper(desk, student, **to_her), SECRETARY)
    await desk.does(a_paper(desk, student, effective_on=YESTERDAY, **to_her), SECRETARY)


async def test_consent_counts_on_the_day_on_which_the_document_went(desk: Desk) -> None:
    (student,) = await desk.enrols()
    await names(desk, student)
    consent = GiveConsent(
        school=desk.school,
        student_id=student,
        kind="processing",
        purpose="contests",
        categories=("personal_file", "achievements"),
        recipients=("Оргкомитет",),
        form="written",
        document="Согласие 1",
        effective_on=YESTERDAY,
        until=YESTERDAY,
        by=MOTHER,
    )
    await desk.does(consent)
    paper = a_paper(desk, student, recipient="Оргкомитет", purpose="consent", effective_on=YESTERDAY)
    await desk.does(paper, SECRETARY)
    await desk.does(replace(paper, access_id=uuid4(), recipient=" Оргкомитет "), SECRETARY)
    with pytest.raises(Forbidden):  # a document that asks for it is none without a name
        await desk.does(a_paper(desk, student, **COURT | {"asked_by": " "}), SECRETARY)
    for changed in ({"effective_on": TODAY}, {"recipient": "Другой оргкомитет"}, {"categories": ("awards",)}):
        with pytest.raises(Forbidden):
            await desk.does(replace(paper, access_id=uuid4(), **changed), SECRETARY)


IMPOSSIBLE: tuple[tuple[dict[str, Any], str], ...] = (
    ({"effective_on": TODAY + timedelta(days=1)}, "in_future"),
    ({"document_kind": "napkin"}, "document_unknown"),
    ({"document_number": " "}, "number_missing"),
    ({"channel": "api"}, "channel_unknown"),
    ({"categories": ()}, "categories_unknown"),
    ({"categories": ("organisation",)}, "categories_unknown"),
    ({"purpose": "curiosity"}, "purpose_unknown"),
    ({"recipient": None}, "recipient_missing"),
    ({"recipient": " "}, "recipient_missing"),
    ({"received_by": MOTHER, "purpose": "statutory_duty", "asked_by": "Запрос № 7"}, "recipient_missing"),
)


async def test_what_cannot_have_been_is_refused_and_leaves_nothing(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    (student,) = await desk.enrols()
    for changes, code in IMPOSSIBLE:
        with pytest.raises(Refused) as refused:
            await desk.does(a_paper(desk, student, **changes), SECRETARY)
        assert [violation.code for violation in refused.value.violations] == [code]
    assert noted(owner) == []


async def test_unknown_and_double_students_and_other_offices_leave_nothing(
    desk: Desk, owner: psycopg.Connection[Row]
) -> None:
    (student,) = await desk.enrols()
    with pytest.raises(NotFound):
        await desk.does(a_paper(desk, student, uuid4(), **COURT), SECRETARY)
    for students in ((student, student), (), tuple(uuid4() for _ in range(101))):
        with pytest.raises(Refused):
            await desk.does(a_paper(desk, *students, **COURT), SECRETARY)
    with pytest.raises(Refused, match="leave `recipient` out"):
        await desk.does(a_paper(desk, student, received_by=student, recipient="Он сам"), SECRETARY)
    with pytest.raises(Forbidden, match="may not record hand_overs"):
        await desk.does(a_paper(desk, student), TEACHER)
    assert noted(owner) == []


async def test_same_key_records_one_hand_over(desk: Desk, owner: psycopg.Connection[Row]) -> None:
    (student,) = await desk.enrols()
    first, again = [await desk.does(a_paper(desk, student), SECRETARY, key="k", content=b"1") for _ in range(2)]
    assert (again.first_position, again.count, again.repeated) == (first.first_position, 2, True)
    assert len(noted(owner)) == 2


async def test_paper_vouches_for_no_opening_and_misses_none(base: Foundation) -> None:
    """Whoever records a hand-over and gets around the gate is found; and nobody asks what a paper has opened."""
    async with open_ledger(base) as ledger:
        ledger.today = lambda: TODAY
        desk = Desk(base, ledger)
        await desk.founds()
        student, other = await desk.enrols(2)
        await desk.catches_up()
        for one in (student, other):
            await desk.does(a_paper(desk, one), SECRETARY)
        acting.set(SECRETARY.id)
        await open_behind_the_gate(desk, student)
        await desk.catches_up()
        acting.set(AUDITOR.id)
        await read_register(ledger, reads(AUDITOR), EVERYTHING, before=None, limit=50)  # names the secretary
    report = await asyncio.to_thread(Reconciler(base.database, base.mapper, base.keks, settle=timedelta()).reconcile)
    assert [(found.actor, found.student_id) for found in report.differences] == [(SECRETARY.id, student)]
    assert (report.disclosures, report.unopened, report.unknown) == (2, 0, 0)


def test_some_reading_shows_whatever_a_document_may_tell_of() -> None:
    assert readings_of(("personal_file",))[0] is Resource.STUDENT
    assert readings_of(("personal_file", "final_results"))[0] is Resource.JOURNAL
    assert readings_of(STUDENT_CLASSES) == [Resource.HISTORY]
    assert all(Resource.HISTORY in readings_of((one,)) for one in STUDENT_CLASSES)
