"""What a command is answered when its sender saw another state: before the rules of the school, after the rights."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from ledger.application.record.courses import AddWork, AppointClassTeacher, AssignTeacher
from ledger.application.record.marks import CorrectMark, CorrectPeriodMark, RecordMark, SetPeriodMark, VoidMark
from ledger.application.record.precondition import Demand, Precondition
from ledger.application.record.school import DefinePeriod, FoundSchool, OpenSchoolYear
from ledger.application.record.students import LeaveSchool, MoveToGroup, TransferIn
from ledger.application.tags import Tags
from ledger.errors import Forbidden, NotFound, PreconditionFailed, PreconditionRequired, Refused
from ledger.ids import new_id
from ledger.store.commands import Envelope
from tests.support.commands import header
from tests.support.school import QUARTERS, AClass
from tests.support.world import TEACHER, TODAY, a_context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.application.record.command import RecordingCommand
    from ledger.streams.base import Context, Proposal

STALE, ANY = Tags(('"m0"', '"r0"', '"p0"', '"c0"', '"s0"', '"g0"')), Tags(any=True)


def decide(
    a_class: AClass, command: RecordingCommand, precondition: Precondition, context: Context | None = None
) -> Sequence[Proposal]:
    """Returns what the executor would record."""
    envelope = Envelope(command, header(), context or a_context(), condition=Demand(command, precondition))
    return envelope.decide(a_class)


def correction(a_class: AClass, mark_id: UUID, value: str = "4") -> CorrectMark:
    return CorrectMark(
        school=a_class.ref.stream_id,
        course_id=a_class.course.stream_id,
        student_id=a_class.student.subject_id,
        mark_id=mark_id,
        value=value,
        reason="Ошибка при проверке",
    )


def voiding(a_class: AClass, mark_id: UUID) -> VoidMark:
    return VoidMark(
        school=a_class.ref.stream_id,
        course_id=a_class.course.stream_id,
        student_id=a_class.student.subject_id,
        mark_id=mark_id,
        reason="Не тому ученику",
    )


def things(a_class: AClass) -> list[RecordingCommand]:
    """Returns a command for each kind of thing that can be changed; each would be recorded without a precondition."""
    school, student, group = a_class.ref.stream_id, a_class.student.subject_id, a_class.group.stream_id
    mark = a_class.marks(a_class.student, "5")
    a_class.sets_result(a_class.student, "5")
    result = {"school": school, "course_id": a_class.course.stream_id, "student_id": student, "period": QUARTERS[0][0]}
    return [
        correction(a_class, mark),
        voiding(a_class, mark),
        CorrectPeriodMark(**result, value="4", reason="Пересдача"),  # type: ignore[arg-type]  # fields by name
        MoveToGroup(
            school=school, student_id=student, group_id=a_class.forms_group("5Б").stream_id, effective_on=TODAY
        ),
        LeaveSchool(school=school, student_id=student, effective_on=TODAY, reason="other"),
        AppointClassTeacher(school=school, group_id=group, class_teacher=new_id(), effective_on=TODAY),
        AssignTeacher(school=school, course_id=a_class.course.stream_id, teacher=new_id(), starts_on=TODAY),
        AddWork(school=school, course_id=a_class.course.stream_id, title="Диктант", kind="test"),
        OpenSchoolYear(
            school=school,
            year="2030-2031",
            title="2030/31",
            starts_on=TODAY + timedelta(days=2000),
            ends_on=TODAY + timedelta(days=2200),
        ),
    ]


def test_each_kind_of_thing_is_changed_in_the_state_that_was_seen_and_in_no_other() -> None:
    a_class = AClass()
    seen = set()
    for command in things(a_class):
        tag = command.tag(a_class)
        assert tag is not None
        seen.add(tag[1])
        for match in (Tags((tag,)), Tags(('"other"', tag)), ANY):
            assert decide(a_class, command, Precondition(match=match))
        for match in (STALE, Tags((f"W/{tag}",)), Tags((tag.upper(),))):
            with pytest.raises(PreconditionFailed) as caught:
                decide(a_class, command, Precondition(match=match))
            assert "new ETag" in caught.value.help
        for none_match in (ANY, Tags((f"W/{tag}",))):
            with pytest.raises(PreconditionFailed):
                decide(a_class, command, Precondition(none_match=none_match))
        assert decide(a_class, command, Precondition(none_match=STALE))
    assert seen == set("mprgcs")


def test_change_leaves_another_tag_and_a_change_of_something_else_does_not() -> None:
    a_class = AClass()
    one, two = a_class.marks(a_class.student, "5"), a_class.marks(a_class.student, "4")
    card = LeaveSchool(
        school=a_class.ref.stream_id, student_id=a_class.student.subject_id, effective_on=TODAY, reason="other"
    )
    before = [command.tag(a_class) for command in (correction(a_class, one), correction(a_class, two), card)]
    a_class.corrects(a_class.student, one, "3")
    a_class.achieves(a_class.student)
    after = [command.tag(a_class) for command in (correction(a_class, one), correction(a_class, two), card)]
    assert before[0] != after[0]
    assert before[1:] == after[1:], "Another mark, an achievement: no reason to refuse the correction of this mark."
    a_class.voids(a_class.student, one)
    assert voiding(a_class, one).tag(a_class) != after[0]


def test_who_saw_another_state_is_told_so_before_any_rule_of_the_school() -> None:
    """That somebody voided the mark meanwhile is why the correction breaks a rule: the sender reads it again."""
    a_class = AClass()
    mark = a_class.marks(a_class.student, "5")
    tag = correction(a_class, mark).tag(a_class)
    assert tag is not None
    a_class.voids(a_class.student, mark)
    with pytest.raises(PreconditionFailed):
        decide(a_class, correction(a_class, mark), Precondition(match=Tags((tag,))))
    with pytest.raises(Refused):
        decide(a_class, correction(a_class, mark), Precondition(match=ANY))


def test_who_may_not_or_names_nothing_is_told_that_and_not_whether_the_tag_fits() -> None:
    a_class = AClass()
    mark = a_class.marks(a_class.student, "5")
    stranger = a_context(actor=new_id())
    assert stranger.actor != TEACHER
    with pytest.raises(Forbidden):
        decide(a_class, correction(a_class, mark), Precondition(match=STALE), stranger)
    nobody = TransferIn(
        school=a_class.ref.stream_id, student_id=new_id(), from_organisation="x", order="1", effective_on=TODAY
    )
    with pytest.raises(NotFound):
        decide(a_class, nobody, Precondition(match=STALE))
    with pytest.raises(Refused):  # there is no such mark: nothing that a tag could be of
        decide(a_class, correction(a_class, new_id()), Precondition(match=STALE))


def test_what_makes_something_new_has_nothing_to_match() -> None:
    a_class = AClass()
    new = RecordMark(
        school=a_class.ref.stream_id,
        course_id=a_class.course.stream_id,
        student_id=a_class.student.subject_id,
        work_id=a_class.work,
        value="5",
        effective_on=TODAY,
    )
    for match in (ANY, STALE):
        with pytest.raises(PreconditionFailed, match="nothing yet"):
            decide(a_class, new, Precondition(match=match))
    assert decide(a_class, new, Precondition(none_match=ANY))
    again = FoundSchool(school=a_class.ref.stream_id, name="Ещё одна")
    with pytest.raises(PreconditionFailed, match="there already"):
        decide(a_class, again, Precondition(none_match=ANY))


def test_mark_of_a_period_is_set_if_none_is_there() -> None:
    a_class = AClass()
    command = SetPeriodMark(
        school=a_class.ref.stream_id,
        course_id=a_class.course.stream_id,
        student_id=a_class.student.subject_id,
        period=QUARTERS[0][0],
        value="5",
        effective_on=TODAY,
    )
    assert command.tag(a_class) is None
    assert decide(a_class, command, Precondition(none_match=ANY))
    a_class.sets_result(a_class.student, "5")
    with pytest.raises(PreconditionFailed):
        decide(a_class, command, Precondition(none_match=ANY))
    with pytest.raises(Refused):
        decide(a_class, command, Precondition())


def test_ledger_may_take_corrections_with_a_precondition_only() -> None:
    a_class = AClass()
    for command in things(a_class):
        if not command.AMENDS:
            assert decide(a_class, command, Precondition(required=True))
            continue
        with pytest.raises(PreconditionRequired, match="needs If-Match"):
            decide(a_class, command, Precondition(required=True))
        assert decide(a_class, command, Precondition(match=ANY, required=True))
    amending = {type(command).__name__ for command in things(AClass()) if command.AMENDS}
    assert amending == {"CorrectMark", "VoidMark", "CorrectPeriodMark"}
    assert not DefinePeriod.AMENDS
