"""What people record about those who speak for a student, on top of `tests.support.school`; every name is synthetic.

school = a_school()
born(school, school.student, date(2012, 5, 1))
mother = names(school, school.student, MOTHER)
with refuses("named_already"):
    names(school, school.student, MOTHER)
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ledger.aggregates.student import consents, record, representation, requests
from ledger.aggregates.working_days import declare_working_day
from ledger.application.record.representation import NameRepresentative
from ledger.ids import new_id
from tests.support.world import TODAY

if TYPE_CHECKING:
    from tests.support.school import ASchool, Student

MOTHER, FATHER, GRANDMOTHER, STRANGER = (UUID(int=number) for number in (0xA1, 0xA2, 0xA3, 0xA4))
BORN = date(2012, 5, 1)
"""Of 13 on the day of the tests, and 18 on 2030-05-01."""
SEPTEMBER = date(2025, 9, 1)


def born(school: ASchool, student: Student, day: date = BORN, *, reason: str = "Свидетельство о рождении") -> None:
    """Records the birth date."""
    lane = school.the(student)
    school.record(record.record_birth_date(student, lane, birth_date=day, reason=reason, context=school.context))


def names(school: ASchool, student: Student, person: UUID, **changes: Any) -> UUID:  # noqa: ANN401 - fields by name
    """Names a parent with a birth certificate, unless told otherwise, and returns the representation's id."""
    values: dict[str, Any] = {
        "kind": "parent", "document_kind": "birth_certificate", "document": "I-АБ 000000",
        "document_on": date(2012, 5, 20), "effective_on": SEPTEMBER, "until": None, "contact": "",
    }  # fmt: skip
    values.update(changes)
    proposals = representation.name_representative(
        student, school.the(student), person=person, context=school.context, **values
    )
    return school.record(proposals)[0].event_id


def a_parent(school: UUID, student: UUID, person: UUID, **changes: Any) -> NameRepresentative:  # noqa: ANN401 - fields by name
    """Returns the command that names a parent with a birth certificate, unless told otherwise."""
    values: dict[str, Any] = {
        "kind": "parent", "document_kind": "birth_certificate", "document": "I-АБ 000000",
        "document_on": date(2012, 5, 20), "effective_on": SEPTEMBER, **changes,
    }  # fmt: skip
    return NameRepresentative(school=school, student_id=student, person=person, **values)


def restricts(school: ASchool, student: Student, named: UUID, *powers: str, **changes: Any) -> None:  # noqa: ANN401 - fields by name
    """Records a court's restriction from today on."""
    values: dict[str, Any] = {"document": "2-1/2025", "document_on": TODAY, "effective_on": TODAY, "until": None}
    values.update(changes)
    school.record(
        representation.restrict_representation(
            student, school.the(student), representation_id=named, powers=powers, context=school.context, **values
        )
    )


def ends(
    school: ASchool,
    student: Student,
    named: UUID,
    *,
    reason: str = "relieved",
    on: date = TODAY,
    document: str = "Акт 3",
) -> None:
    """Ends a representation; `on` is the first day on which it does not hold."""
    school.record(
        representation.end_representation(
            student,
            school.the(student),
            representation_id=named,
            reason=reason,
            document=document,
            effective_on=on,
            context=school.context,
        )
    )


def consents_to(school: ASchool, student: Student, by: UUID, *, claimed: bool = False, **changes: Any) -> UUID:  # noqa: ANN401 - fields by name
    """Records a consent to handing achievements to organisers of contests, and returns its id."""
    values: dict[str, Any] = {
        "kind": "processing", "purpose": "contests", "categories": ("personal_file", "achievements"),
        "recipients": ("Оргкомитет",), "conditions": (), "form": "written", "document": "Согласие 1",
        "effective_on": TODAY, "until": None,
    }  # fmt: skip
    values.update(changes)
    proposals = consents.give_consent(
        student, school.the(student), by=by, claimed=claimed, context=school.context, **values
    )
    return school.record(proposals)[0].event_id


def publishes(school: ASchool, student: Student, by: UUID, **changes: Any) -> UUID:  # noqa: ANN401 - fields by name
    """Records a consent to an honours board for a year, and returns its id."""
    values: dict[str, Any] = {
        "kind": "dissemination", "purpose": "honours_board", "categories": ("personal_file", "awards", "photo"),
        "recipients": ("Доска почёта", "Сайт школы"), "conditions": ("no_transfer",), "until": date(2026, 8, 31),
    }  # fmt: skip
    return consents_to(school, student, by, **{**values, **changes})


def limits(school: ASchool, student: Student, consent: UUID, by: UUID, **changes: Any) -> None:  # noqa: ANN401 - fields by name
    """Narrows a consent: what is not changed stays as it is."""
    found = consents.find(school.the(student), consent)
    values: dict[str, Any] = {"categories": ("personal_file",), "recipients": (), "conditions": (), "until": None}
    if found is not None:
        values = {name: tuple(getattr(found, name)) for name in ("categories", "recipients", "conditions")}
        values["until"] = found.until
    values.update(changes)
    school.record(
        consents.limit_consent(
            student,
            school.the(student),
            consent_id=consent,
            by=by,
            claimed=False,
            context=school.context,
            **values,
        )
    )


def withdraws(school: ASchool, student: Student, consent: UUID, by: UUID) -> None:
    """Withdraws a consent from today on."""
    school.record(
        consents.withdraw_consent(
            student,
            school.the(student),
            consent_id=consent,
            by=by,
            claimed=False,
            document="Заявление",
            context=school.context,
        )
    )


def requests_of(school: ASchool, student: Student, by: UUID, *, claimed: bool = False, **changes: Any) -> UUID:  # noqa: ANN401 - fields by name
    """Registers an oral request for information that came today, and returns its id."""
    values: dict[str, Any] = {
        "kind": "information", "form": "oral", "text": "Просит сведения", "received_on": school.context.today,
        "about_access": None,
    }  # fmt: skip
    values.update(changes)
    request_id = new_id()
    school.record(
        requests.register_request(
            requests.request_lane(student.subject_id, request_id),
            school.the(student),
            school.lane.state.days,
            request_id=request_id,
            by=by,
            claimed=claimed,
            context=school.context,
            **values,
        )
    )
    return request_id


def extends(school: ASchool, student: Student, request: UUID, *, reason: str = "Документы в архиве") -> None:
    """Extends the term."""
    ref = requests.request_lane(student.subject_id, request)
    school.record(
        requests.extend_request(
            ref,
            school.the(ref),
            school.lane.state.days,
            request_id=request,
            reason=reason,
            context=school.context,
        )
    )


def answers(school: ASchool, student: Student, request: UUID, how: str = "letter", **changes: Any) -> None:  # noqa: ANN401 - fields by name
    """Answers a request today."""
    ref = requests.request_lane(student.subject_id, request)
    values: dict[str, Any] = {"text": "Ответ", "legal_basis": "", "effective_on": school.context.today, **changes}
    school.record(
        requests.answer_request(
            ref,
            school.the(ref),
            school.the(student),
            request_id=request,
            how=how,
            context=school.context,
            **values,
        )
    )


def declares(school: ASchool, day: date, *, working: bool, reason: str = "Приказ 30") -> None:
    """Declares a working day, or a day off."""
    school.record(
        declare_working_day(school.ref, school.lane, day=day, working=working, reason=reason, context=school.context)
    )
