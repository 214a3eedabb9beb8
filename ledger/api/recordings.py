"""Everything that can be recorded over HTTP: which form makes which command, and under which address.

The single routes and the bulk door both read this table, so that a command is the same whichever way it came, and so is
what its idempotency key stands for.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from ledger.api.schemas import (
    achievements,
    consents,
    courses,
    hand_overs,
    marks,
    representation,
    requests,
    school,
    staff,
    students,
    webhooks,
)
from ledger.api.structs import OnlyForTheForm, plain_of, struct_of
from ledger.application.record.achievements import CreditResult, GrantAward, RecordAchievement
from ledger.application.record.command import content_of
from ledger.application.record.consents import GiveConsent, LimitConsent, WithdrawConsent
from ledger.application.record.courses import AddWork, AppointClassTeacher, AssignTeacher, FormClassGroup, OpenCourse
from ledger.application.record.hand_overs import RecordHandOver
from ledger.application.record.marks import (
    CorrectMark,
    CorrectPeriodMark,
    LessonEntry,
    RecordLesson,
    RecordMark,
    SetPeriodMark,
    SubmitWork,
    VoidMark,
)
from ledger.application.record.representation import EndRepresentation, NameRepresentative, RestrictRepresentation
from ledger.application.record.requests import AnswerRequest, ExtendRequest, RegisterRequest
from ledger.application.record.school import (
    AdoptLocalAct,
    ClosePeriod,
    CloseSchoolYear,
    DeclareWorkingDay,
    DefineMarkScale,
    DefinePeriod,
    FoundSchool,
    OpenSchoolYear,
    PermitLateEntry,
)
from ledger.application.record.staff import (
    AssumeOffice,
    LeaveOffice,
    LinkLogin,
    RecordMandate,
    UnlinkLogin,
    WithdrawMandate,
)
from ledger.application.record.students import (
    EnrolStudent,
    LeaveGroup,
    LeaveSchool,
    MoveToGroup,
    RecordBirthDate,
    TransferIn,
    TransferOut,
)
from ledger.application.record.webhooks import RegisterWebhook, RemoveWebhook, ResumeWebhook, RotateWebhookSecret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from uuid import UUID

    from ledger.api.schemas.base import Form
    from ledger.application.record.command import RecordingCommand

_IN_PATH = re.compile(r"{(\w+)}")


@dataclass(frozen=True, eq=False)
class Recording:
    """A way in: a command, the form of its body and the address of its route.

    Args:
        command: what is made. Its fields are those of the form and of the address, by the same names.
        form: what the body must look like.
        path: the route's template; the ids in it are part of what the idempotency key stands for.
        shapes: how a field of the form becomes the command's, where it is not the same value.
    """

    command: type[RecordingCommand]
    form: type[Form]
    path: str
    shapes: Mapping[str, Callable[[Any], object]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the command is called."""
        return self.command.__name__

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The names of the ids in the address, in their order."""
        return tuple(_IN_PATH.findall(self.path))

    @cached_property
    def _fields(self) -> tuple[str, ...]:
        return tuple(self.form.model_fields)

    @cached_property
    def _decoder(self) -> tuple[msgspec.json.Decoder[msgspec.Struct], Callable[[object], dict[str, object]]] | None:
        """What reads most bodies, and returns their fields that are not at their defaults."""
        try:
            return msgspec.json.Decoder(struct_of(self.form)), plain_of(self.form)
        except OnlyForTheForm:
            return None

    def read(self, body: bytes) -> tuple[object, dict[str, object]] | None:
        """Returns what a body holds, with those of its fields that are not at their defaults.

        None where only the form can say what it holds, or what is wrong with it.
        """
        if self._decoder is not None:
            decoder, plain = self._decoder
            with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                found = decoder.decode(body)
                return found, plain(found)
        return None

    def make(self, school: UUID, ids: Sequence[UUID], form: object) -> RecordingCommand:
        """Returns the command of a form (or of anything with the same attributes) that was sent to an address."""
        values = {name: getattr(form, name) for name in self._fields}
        for name, shape in self.shapes.items():
            values[name] = shape(values[name])
        return self.command(school=school, **dict(zip(self.ids, ids, strict=True)), **values)

    def content(self, ids: Sequence[UUID], fields: Mapping[str, object]) -> bytes:
        """Returns what an idempotency key stands for.

        Fields left at their defaults are not among `fields`, so that a later version with more fields knows an older
        key again.
        """
        return content_of(f"POST {self.path}", [ids, fields])


def _entries(lines: Iterable[marks.LessonLine]) -> tuple[LessonEntry, ...]:
    return tuple(LessonEntry(line.student_id, line.marks, line.attendance, line.comment) for line in lines)


def _foreign_ids(found: Iterable[students.ForeignId]) -> tuple[tuple[str, str], ...]:
    return tuple((one.source, one.id) for one in found)


_STUDENT = "/v1/students/{student_id}"
_REPRESENTATION = f"{_STUDENT}/representatives/{{representation_id}}"
_CONSENT = f"{_STUDENT}/consents/{{consent_id}}"
_REQUEST = f"{_STUDENT}/requests/{{request_id}}"
_MARK = f"{_STUDENT}/marks/{{mark_id}}"
_STAFF = "/v1/staff/{person_id}"
_WEBHOOK = "/v1/webhooks/{webhook_id}"

RECORDINGS: Mapping[type[RecordingCommand], Recording] = {
    recording.command: recording
    for recording in (
        Recording(FoundSchool, school.NewSchool, "/v1/school"),
        Recording(OpenSchoolYear, school.NewYear, "/v1/school/years"),
        Recording(CloseSchoolYear, school.YearClosing, "/v1/school/years/closings"),
        Recording(DefinePeriod, school.NewPeriod, "/v1/school/periods"),
        Recording(ClosePeriod, school.PeriodClosing, "/v1/school/periods/closings"),
        Recording(DefineMarkScale, school.NewScale, "/v1/school/scales"),
        Recording(AdoptLocalAct, school.NewLocalAct, "/v1/school/local-acts"),
        Recording(PermitLateEntry, school.NewPermission, "/v1/school/permissions"),
        Recording(DeclareWorkingDay, school.NewWorkingDay, "/v1/school/working-days"),
        Recording(AssumeOffice, staff.NewOffice, f"{_STAFF}/offices"),
        Recording(LeaveOffice, staff.OfficeLeaving, f"{_STAFF}/offices/{{tenure_id}}/leavings"),
        Recording(RecordMandate, staff.NewMandate, f"{_STAFF}/mandates"),
        Recording(WithdrawMandate, staff.MandateWithdrawal, f"{_STAFF}/mandates/{{mandate_id}}/withdrawals"),
        Recording(LinkLogin, staff.NewLogin, "/v1/logins/{login_id}"),
        Recording(UnlinkLogin, staff.LoginRemoval, "/v1/logins/{login_id}/removals"),
        Recording(FormClassGroup, courses.NewClassGroup, "/v1/class-groups"),
        Recording(AppointClassTeacher, courses.NewClassTeacher, "/v1/class-groups/{group_id}/class-teacher"),
        Recording(OpenCourse, courses.NewCourse, "/v1/courses"),
        Recording(AssignTeacher, courses.NewTeacher, "/v1/courses/{course_id}/teachers"),
        Recording(AddWork, courses.NewWork, "/v1/courses/{course_id}/works"),
        Recording(EnrolStudent, students.NewStudent, "/v1/students", {"foreign_ids": _foreign_ids}),
        Recording(RecordBirthDate, students.NewBirthDate, f"{_STUDENT}/birth-date"),
        Recording(MoveToGroup, students.NewMove, f"{_STUDENT}/moves"),
        Recording(LeaveGroup, students.GroupLeaving, f"{_STUDENT}/group-leavings"),
        Recording(LeaveSchool, students.Leaving, f"{_STUDENT}/leavings"),
        Recording(TransferOut, students.TransferOutForm, f"{_STUDENT}/transfers-out"),
        Recording(TransferIn, students.TransferInForm, f"{_STUDENT}/transfers-in"),
        Recording(NameRepresentative, representation.NewRepresentative, f"{_STUDENT}/representatives"),
        Recording(RestrictRepresentation, representation.NewRestriction, f"{_REPRESENTATION}/restrictions"),
        Recording(EndRepresentation, representation.RepresentationEnding, f"{_REPRESENTATION}/endings"),
        Recording(GiveConsent, consents.NewConsent, f"{_STUDENT}/consents"),
        Recording(LimitConsent, consents.ConsentLimitation, f"{_CONSENT}/limitations"),
        Recording(WithdrawConsent, consents.ConsentWithdrawal, f"{_CONSENT}/withdrawals"),
        Recording(RegisterRequest, requests.NewRequest, f"{_STUDENT}/requests"),
        Recording(ExtendRequest, requests.RequestExtension, f"{_REQUEST}/extensions"),
        Recording(AnswerRequest, requests.RequestAnswer, f"{_REQUEST}/answers"),
        Recording(RecordMark, marks.NewMark, "/v1/marks"),
        Recording(RecordLesson, marks.NewLesson, "/v1/lessons", {"entries": _entries}),
        Recording(SubmitWork, marks.NewSubmission, "/v1/submissions"),
        Recording(CorrectMark, marks.MarkCorrection, f"{_MARK}/corrections"),
        Recording(VoidMark, marks.MarkVoiding, f"{_MARK}/voidings"),
        Recording(SetPeriodMark, marks.NewPeriodMark, "/v1/period-marks"),
        Recording(CorrectPeriodMark, marks.PeriodMarkCorrection, "/v1/period-marks/corrections"),
        Recording(RecordAchievement, achievements.NewAchievement, f"{_STUDENT}/achievements"),
        Recording(GrantAward, achievements.NewAward, f"{_STUDENT}/awards"),
        Recording(CreditResult, achievements.NewCredit, f"{_STUDENT}/credits"),
        Recording(RecordHandOver, hand_overs.NewHandOver, "/v1/hand-overs"),
        Recording(RegisterWebhook, webhooks.NewWebhook, "/v1/webhooks"),
        Recording(RotateWebhookSecret, webhooks.SecretRotation, f"{_WEBHOOK}/secrets"),
        Recording(ResumeWebhook, webhooks.WebhookResumption, f"{_WEBHOOK}/resumptions"),
        Recording(RemoveWebhook, webhooks.WebhookRemoval, f"{_WEBHOOK}/removals"),
    )
}
"""By command; in the order in which the documentation shows them."""
