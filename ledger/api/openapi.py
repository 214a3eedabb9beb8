"""The OpenAPI 3.1 document: forms as pydantic describes them, answers as msgspec does, problems on every operation.

Routes read their bodies and write their answers themselves, for speed; here is said what both look like. Routers use
`recording(...)` and `reading(...)` to describe an operation next to its code.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from ledger.api.answers import Alive, CommandRecorded, Ready
from ledger.api.calls import KEY
from ledger.api.components import REF, answer_schemas, form_schemas
from ledger.api.conditions import IF_MATCH, IF_NONE_MATCH
from ledger.api.framing import NDJSON
from ledger.api.identity import Me, needs_token
from ledger.api.lines import line_form
from ledger.api.linking import add_links
from ledger.api.problems import FOREIGN, MEDIA_TYPE, Problem
from ledger.api.recordings import RECORDINGS
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
from ledger.api.terms import PARAMETERS
from ledger.application.disclose import shown
from ledger.application.disclose.cloudevents import CloudEvent
from ledger.application.disclose.consents import Consents
from ledger.application.disclose.differences import Difference
from ledger.application.disclose.event import EventShown
from ledger.application.disclose.explaining import Explained
from ledger.application.disclose.feed import EventHeader, EventOpened, FeedPage
from ledger.application.disclose.findings import Findings
from ledger.application.disclose.representation import Representatives
from ledger.application.disclose.requests import RequestPage
from ledger.application.disclose.staff import StaffEntry
from ledger.application.disclose.states import StudentState
from ledger.application.disclose.tracker import Heartbeat, UsagePeriod, Usages
from ledger.application.disclose.who_saw import WhoSaw
from ledger.application.record.command import MAX_KEY
from ledger.application.webhooks.shown import Webhooks, WebhookSecret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fastapi import FastAPI

    from ledger.api.schemas.base import Form


FORMS: tuple[type[Form], ...] = (
    school.NewSchool,
    school.NewYear,
    school.NewPeriod,
    school.NewScale,
    school.NewLocalAct,
    school.NewPermission,
    school.NewWorkingDay,
    school.YearClosing,
    school.PeriodClosing,
    staff.NewOffice,
    staff.OfficeLeaving,
    staff.NewMandate,
    staff.MandateWithdrawal,
    staff.NewLogin,
    staff.LoginRemoval,
    courses.NewClassGroup,
    courses.NewClassTeacher,
    courses.NewCourse,
    courses.NewTeacher,
    courses.NewWork,
    students.NewStudent,
    students.NewBirthDate,
    students.NewMove,
    students.GroupLeaving,
    students.Leaving,
    students.TransferOutForm,
    students.TransferInForm,
    representation.NewRepresentative,
    representation.NewRestriction,
    representation.RepresentationEnding,
    consents.NewConsent,
    consents.ConsentLimitation,
    consents.ConsentWithdrawal,
    requests.NewRequest,
    requests.RequestExtension,
    requests.RequestAnswer,
    achievements.NewAchievement,
    achievements.NewAward,
    achievements.NewCredit,
    marks.NewMark,
    marks.NewLesson,
    marks.NewSubmission,
    marks.MarkCorrection,
    marks.MarkVoiding,
    marks.NewPeriodMark,
    marks.PeriodMarkCorrection,
    hand_overs.NewHandOver,
    webhooks.NewWebhook,
    webhooks.SecretRotation,
    webhooks.WebhookResumption,
    webhooks.WebhookRemoval,
)

GroupPage = shown.Page[shown.GroupShown]
CoursePage = shown.Page[shown.CourseShown]
WorkPage = shown.Page[shown.WorkShown]
StaffPage = shown.Page[StaffEntry]
StudentPage = shown.Page[shown.StudentShown]
Feed = FeedPage[EventHeader]
FeedOpened = FeedPage[EventOpened]

_ANSWERS: Mapping[str, Any] = {
    "CommandRecorded": CommandRecorded,
    "School": shown.SchoolShown,
    "Me": Me,
    "StaffPage": StaffPage,
    "GroupPage": GroupPage,
    "Group": shown.GroupShown,
    "CoursePage": CoursePage,
    "Course": shown.CourseShown,
    "WorkPage": WorkPage,
    "StudentPage": StudentPage,
    "Student": shown.StudentShown,
    "Representatives": Representatives,
    "Consents": Consents,
    "RequestPage": RequestPage,
    "Mark": shown.MarkShown,
    "PeriodMarks": shown.PeriodMarks,
    "JournalPage": shown.JournalPage,
    "Portfolio": shown.Portfolio,
    "Retention": shown.Retention,
    "DisclosureRegister": shown.DisclosureRegister,
    "Explained": Explained,
    "RegisterPage": shown.RegisterPage,
    "DisclosureLine": shown.DisclosureLine,
    "WhoSaw": WhoSaw,
    "Findings": Findings,
    "Usages": Usages,
    "UsagePeriod": UsagePeriod,
    "Heartbeat": Heartbeat,
    "History": shown.History,
    "Feed": Feed,
    "FeedOpened": FeedOpened,
    "Event": EventShown,
    "CloudEvent": CloudEvent,
    "StudentState": StudentState,
    "Difference": Difference,
    "Alive": Alive,
    "Ready": Ready,
    "Webhooks": Webhooks,
    "WebhookSecret": WebhookSecret,
    "Problem": Problem,
}

TAGS: tuple[tuple[str, str], ...] = (
    ("school", "Школа: годы, периоды, шкалы, локальные акты / The school"),
    ("staff", "Должности, предписания, входы / Offices, mandates, logins"),
    ("class-groups", "Классы / Class groups"),
    ("courses", "Курсы и работы / Courses and works"),
    ("students", "Ученики: зачисление, классы, уход / Students"),
    ("transfers", "Переводы между организациями / Transfers"),
    ("representation", "Законные представители / Legal representatives"),
    ("consents", "Согласия / Consents"),
    ("requests", "Обращения / Requests"),
    ("marks", "Отметки, уроки, исправления / Marks, lessons, corrections"),
    ("achievements", "Достижения, поощрения, зачёт результатов / Achievements, awards, credits"),
    ("bulk", "Запись пакетом / Bulk recording"),
    ("journals", "Журналы / Journals"),
    ("portfolios", "Портфолио / Portfolios"),
    ("retention", "Сроки хранения / Retention"),
    ("disclosures", "Кто видел данные / Who saw the data"),
    ("hand-overs", "Документы, выданные на руки и письмом / Documents handed over"),
    ("data-tracker", "Протокол Data Tracker / The protocol of Estonia's Data Tracker"),
    ("access", "Почему можно или нельзя читать / Why a reading is allowed or refused"),
    ("history", "История записей об ученике / A student's history"),
    ("feed", "Лента событий / The feed of events"),
    ("webhooks", "Вебхуки / Webhooks"),
    ("commands", "Что стало с запросом / What became of a request"),
    ("log", "Журнал прозрачности и квитанции / The transparency log, receipts"),
    ("health", "Состояние службы / Health"),
)

_PROBLEMS: Mapping[str, str] = {
    "400": "The request cannot be read: broken JSON, a missing key, a cursor that is none of ours.",
    "401": "No valid token came with the request.",
    "403": "The office of the actor does not allow this. A refused reading is recorded.",
    "404": "There is no such thing.",
    "406": "The client takes none of the media types that there are.",
    "408": "The body did not come in time.",
    "409": "The thing exists already, or has changed in the meantime.",
    "410": "The data were erased.",
    "412": "It is no longer in the state that If-Match names; nothing was recorded. Read it again.",
    "413": "The body has more than 1 MiB.",
    "415": "The body is not JSON.",
    "422": "The fields (`errors`) or the rules of the school (`violations`) refuse it; or the key had another request.",
    "428": "This ledger takes corrections and voidings with If-Match only (LEDGER_REQUIRE_IF_MATCH).",
    "429": "You ask more often than this service answers: wait as many seconds as `Retry-After` says.",
    "500": "A fault of the ledger.",
    "503": "The database is away, a view is behind, or too many commands wait: try again with the same key.",
}
_RETRY: Mapping[str, Any] = {
    "Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "integer"}},
    "RateLimit": {"description": "What is left: `r` requests, all again in `t` seconds.", "schema": {"type": "string"}},
    "RateLimit-Policy": {"description": "The limit: `q` requests in `w` seconds.", "schema": {"type": "string"}},
}
_OF_RECORDING = ("400", "401", "403", "404", "408", "409", "412", "413", "415", "422", "429", "500", "503")
_OF_READING = ("400", "401", "403", "404", "410", "422", "429", "500", "503")
_PERSONAL = ("/v1/students", "/v1/journals", "/v1/events", "/v1/disclosures", "/v1/access")
"""Addresses that go through the gate, so that terms of reading have a meaning."""
_AMENDS, _TAGGED = "x-amends", "x-tagged"
"""Marks of an operation that say which further answers it has; they do not leave this module."""

_KEY_PARAMETER: Mapping[str, Any] = {
    "name": KEY,
    "in": "header",
    "required": True,
    "description": (
        "Случайный ключ запроса; повтор с тем же ключом ничего не записывает второй раз / "
        "A random key of the request; a repetition with the same key records nothing twice."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY},
    "example": "6f1d2c9e-9a0b-4f6f-8a55-0b1a5c1d7e10",
}
_IF_MATCH_PARAMETER: Mapping[str, Any] = {
    "name": IF_MATCH,
    "in": "header",
    "required": False,
    "description": (
        "ETag того, что меняется, как его видел отправитель; изменилось с тех пор: 412, ничего не записано / "
        "The ETag of what is changed, as the sender saw it, or `*`; if it was changed since: 412, nothing is recorded."
    ),
    "schema": {"type": "string"},
    "example": '"m12"',
}
_IF_NONE_MATCH_PARAMETER: Mapping[str, Any] = {
    "name": IF_NONE_MATCH,
    "in": "header",
    "required": False,
    "description": (
        "ETag прошлого чтения: если ничего не изменилось, ответ 304; чтение записывается и тогда / "
        "The ETag of an earlier reading: 304 where nothing has changed. That reading is recorded, too."
    ),
    "schema": {"type": "string"},
    "example": '"m12"',
}
_PREFER_PARAMETER: Mapping[str, Any] = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": (
        "`return=minimal`: ответ без тела; `wait=5`: ждать квитанций до 5 с / `return=minimal`: an answer without a"
        " body; `wait=5`: receipts are waited for, 5 seconds (at most 10). RFC 7240; what else is preferred is ignored."
    ),
    "schema": {"type": "string"},
    "example": "return=minimal",
}
_WAIT_PARAMETER: Mapping[str, Any] = {
    **_PREFER_PARAMETER,
    "description": (
        "`wait=5`: ждать квитанций каждой строки до 5 с / `wait=5`: the receipts of each line are waited for, 5 seconds"
        " (at most 10), until some do not come in time. RFC 7240; what else is preferred is ignored."
    ),
    "example": "wait=5",
}
_RECORDED: Mapping[str, Any] = {
    "Ledger-Position": {
        "description": "Position of the last event; use it as `min_position`.",
        "schema": {"type": "integer"},
    },
    "Location": {
        "description": "Where what was made or changed is read; else, what became of the request.",
        "schema": {"type": "string"},
    },
    "Link": {
        "description": 'Where the receipt of the last event is read: `</v1/events/42/receipt>; rel="receipt"`.',
        "schema": {"type": "string"},
    },
    "ETag": {
        "description": "The tag of the one thing that was set or changed, for the next If-Match.",
        "schema": {"type": "string"},
    },
    "Preference-Applied": {
        "description": "Which preferences were honoured; `wait` only if the receipts came in time.",
        "schema": {"type": "string"},
        "example": "return=minimal, wait=5",
    },
    "Idempotency-Replayed": {
        "description": "`true` where the key came before: the answer is the first one, byte for byte.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
_ETAG = (
    "The tag of what is shown. A strong one serves as If-Match of a change; a weak one (W/) says only whether the page"
    " is worth reading again."
)
_NOT_MODIFIED: Mapping[str, Any] = {
    "description": "Не изменилось / Not changed since If-None-Match; the reading was recorded as if it had been shown.",
    "headers": {"ETag": {"description": "The tag, as before.", "schema": {"type": "string"}}},
}


def a_router(tag: str) -> APIRouter:
    """Returns a router whose routes answer for themselves."""
    return APIRouter(tags=[tag], default_response_class=Response)


def recording(
    operation_id: str, summary: str, form: type[Form], *, changes: bool = False, amends: bool = False
) -> dict[str, Any]:
    """Returns what describes a POST that records: its form, its key and its answer.

    Args:
        operation_id: its name.
        summary: in Russian and English.
        form: of its body.
        changes: whether it changes a thing that is there already, so that If-Match can name it.
        amends: whether it corrects or takes back what was recorded, so that If-Match may be required.
    """
    parameters = [dict(_KEY_PARAMETER), dict(_PREFER_PARAMETER)]
    if changes or amends:
        parameters.append(dict(_IF_MATCH_PARAMETER))
    return {
        "operation_id": operation_id,
        "summary": summary,
        "status_code": 201,
        "response_model": None,
        "responses": {
            201: {
                "description": "Записано / Recorded, durably.",
                "headers": _RECORDED,
                "content": {"application/json": {"schema": {"$ref": f"{REF}CommandRecorded"}}},
            },
            204: {"description": "Записано, без тела / Recorded; the client preferred no body.", "headers": _RECORDED},
        },
        "openapi_extra": {
            _AMENDS: amends,
            "parameters": parameters,
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": f"{REF}{form.__name__}"}}},
            },
        },
    }


def bulk_recording(operation_id: str, summary: str) -> dict[str, Any]:
    """Returns what describes a POST of many commands, a line each, and of their answers."""
    lines = {recording.name: f"{REF}{recording.name}" for recording in RECORDINGS.values()}
    line = {"oneOf": [{"$ref": ref} for ref in lines.values()]}
    line["discriminator"] = {"propertyName": "command", "mapping": lines}  # type: ignore[assignment]  # JSON
    answer = {"anyOf": [{"$ref": f"{REF}CommandRecorded"}, {"$ref": f"{REF}Problem"}]}
    return {
        "operation_id": operation_id,
        "summary": summary,
        "response_model": None,
        "responses": {
            200: {
                "description": "Ответ на каждую строку, по порядку / An answer to each line, in order.",
                "content": {NDJSON: {"schema": answer}},
            }
        },
        "openapi_extra": {
            "parameters": [dict(_WAIT_PARAMETER)],
            "requestBody": {"required": True, "content": {NDJSON: {"schema": line}}},
        },
    }


def reading(
    operation_id: str, summary: str, *answers: str, tagged: bool = False, recorded: bool = False
) -> dict[str, Any]:
    """Returns what describes a GET that reads.

    Args:
        operation_id: its name.
        summary: in Russian and English.
        answers: names of answers.
        tagged: whether the answer has an ETag, and so If-None-Match a meaning.
        recorded: whether it is what a command recorded, with the way to its receipt.
    """
    refs = [{"$ref": f"{REF}{name}"} for name in answers]
    schema = refs[0] if len(refs) == 1 else {"anyOf": refs}
    shown_as: dict[str, Any] = {"description": "OK", "content": {"application/json": {"schema": schema}}}
    described: dict[str, Any] = {
        "operation_id": operation_id,
        "summary": summary,
        "response_model": None,
        "responses": {200: shown_as},
    }
    if recorded:
        shown_as["headers"] = {name: _RECORDED[name] for name in ("Ledger-Position", "Link")}
    if tagged:
        shown_as["headers"] = {"ETag": {"description": _ETAG, "schema": {"type": "string"}}}
        described["responses"][304] = dict(_NOT_MODIFIED)
        described["openapi_extra"] = {_TAGGED: True, "parameters": [dict(_IF_NONE_MATCH_PARAMETER)]}
    return described


def build(app: FastAPI) -> dict[str, Any]:
    """Returns the whole document."""
    document = get_openapi(
        title="Ledger",
        version=version("ledger"),
        openapi_version="3.1.0",
        summary="Реестр школы: что известно об учениках, и кто это видел / A school's audit ledger",
        description=(
            "Every mark, award, transfer and disclosure is an event that is never changed. Reading a student's data is"
            " itself recorded, before anything is shown.\n\n"
            "Errors are `application/problem+json` (RFC 9457).\n\n"
            "What can be changed has an `ETag`. A change that names it in `If-Match` is recorded only if nobody has"
            " changed it since, and the answer has the next one. Every GET can be a HEAD, which is a reading, too."
        ),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        servers=[{"url": "/", "description": "The service that this document came from."}],
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS],
    )
    lines = [line_form(recorded) for recorded in RECORDINGS.values()]
    document["components"] = {
        "schemas": {**form_schemas([*FORMS, *lines]), **answer_schemas(_ANSWERS)},
        "responses": {
            code: {
                "description": text,
                **({"headers": _RETRY} if code in ("429", "503") else {}),
                "content": {MEDIA_TYPE: {"schema": {"$ref": f"{REF}Problem"}}},
            }
            for code, text in _PROBLEMS.items()
        },
        "securitySchemes": {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": (
                    "An access token (RFC 9068) of the school's OpenID Connect provider: who acts. The header"
                    " Ledger-Office says in which office, where several are theirs. Development: `ledger token`."
                ),
            }
        },
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(path, method, operation)
    add_links(document)
    return document


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """Adds the problems and the security of an operation; FastAPI's own 422 is none of our answers."""
    responses = operation["responses"]
    responses.pop("422", None)
    operation["security"] = []
    codes: Iterable[str] = ("500", "503") if path == "/readyz" else ("500",)
    if path.startswith("/log/"):
        codes = ("404", "429", "500", "503") if "{" not in path else ("404", "422", "429", "500", "503")
    if needs_token(path):
        operation["security"] = [{"bearer": []}]
        codes = _OF_RECORDING if method == "post" else _OF_READING
        if path.startswith(FOREIGN):
            codes = tuple(code for code in codes if code != "422")
        if method == "get" and path.startswith(_PERSONAL):
            operation["parameters"] = [*operation.get("parameters", ()), *map(dict, PARAMETERS)]
        if operation.pop(_AMENDS, False):
            codes = (*codes, "428")
        if operation.pop(_TAGGED, False):
            codes = (*codes, "412")
    for code in codes:
        responses[code] = {"$ref": f"#/components/responses/{code}"}
