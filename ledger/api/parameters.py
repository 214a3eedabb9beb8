"""Parameters of addresses and queries, with their bounds."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Header, Path, Query
from pydantic import AwareDatetime

from ledger.api.schemas.base import FIRST_DAY, FIRST_TIME, LAST_DAY, LAST_TIME
from ledger.application.disclose.feed import MAX_FEED
from ledger.application.disclose.requests import STATUSES
from ledger.application.disclose.shown import MAX_PAGE
from ledger.policy.offices import Office
from ledger.policy.watching import Kind

LAST_POSITION = 2**63 - 1


def a_time(alias: str, description: str) -> Any:  # noqa: ANN401 - as Query itself
    """Returns a query's time, within the years that days have, so that one may count from it in both directions."""
    bounds: dict[str, Any] = {"ge": FIRST_TIME, "le": LAST_TIME}  # FastAPI's types know bounds of numbers only
    return Query(alias=alias, description=description, **bounds)


Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Сколько на странице / Items on a page.")]
Cursor = Annotated[
    str | None,
    Query(max_length=100, description="`next` предыдущей страницы / `next` of the page before, unchanged."),
]
MinPosition = Annotated[
    int,
    Query(
        ge=0,
        le=LAST_POSITION,
        description="Ждать, пока представление дойдёт сюда / Wait until the view has reached this position.",
    ),
]
After = Annotated[
    int, Query(ge=0, le=LAST_POSITION, description="После этой позиции / After this position; `next` continues.")
]
AtPosition = Annotated[
    int | None,
    Query(
        ge=0,
        le=LAST_POSITION,
        description=(
            "Каким это было известно на позиции / As known when this position was the last one; not together with"
            " known_at."
        ),
    ),
]
KnownAt = Annotated[
    AwareDatetime | None,
    Query(description="Что было известно к этому времени / What the ledger had learned by this time."),
]
FromPosition = Annotated[
    int | None, Query(ge=0, le=LAST_POSITION, description="Что изменилось после позиции / What changed after it.")
]
FromKnownAt = Annotated[
    AwareDatetime | None, Query(description="Что стало известно после этого времени / What became known after it.")
]
FromEffectiveOn = Annotated[
    date | None,
    Query(ge=FIRST_DAY, le=LAST_DAY, description="Что произошло после этого дня / What happened after this day."),
]
ToPosition = Annotated[
    int | None, Query(ge=0, le=LAST_POSITION, description="До этой позиции / Up to this position; now without it.")
]
ToKnownAt = Annotated[AwareDatetime | None, Query(description="До этого времени / Up to this time; now without it.")]
ToEffectiveOn = Annotated[
    date | None, Query(ge=FIRST_DAY, le=LAST_DAY, description="По этот день / Up to this day; every day without it.")
]
EffectiveOn = Annotated[
    date | None,
    Query(ge=FIRST_DAY, le=LAST_DAY, description="Что произошло к этому дню / What had happened by this day."),
]
RequestStatus = Annotated[
    str,
    Query(
        json_schema_extra={"enum": list(STATUSES)},
        description=(
            "Просроченные; открытые, и просроченные среди них; отвеченные / Overdue ones; open ones, those overdue"
            " among them; answered ones."
        ),
    ),
]
GroupFilter = Annotated[UUID | None, Query(description="Класс / A class group.")]
Source = Annotated[str | None, Query(min_length=1, max_length=100, description="Другая система / Another system.")]
ForeignIdText = Annotated[
    str | None, Query(min_length=1, max_length=200, description="Идентификатор в ней / The id there.")
]

Person = Annotated[UUID | None, Query(description="Кто смотрел / Who looked.")]
OfStudent = Annotated[UUID | None, Query(description="Ученик / About this student.")]
InOffice = Annotated[
    str | None, Query(pattern=f"^({'|'.join(Office)})$", description="В какой должности / In which office.")
]
Recipient = Annotated[str | None, Query(min_length=1, max_length=500, description="Для кого / For whom.")]
Purpose = Annotated[str | None, Query(min_length=1, max_length=100, description="Цель / The purpose.")]
LegalBasis = Annotated[str | None, Query(min_length=1, max_length=500, description="Основание / The legal basis.")]
Channel = Annotated[str | None, Query(min_length=1, max_length=100, description="Канал / By which way.")]
WasGranted = Annotated[
    bool | None, Query(description="Разрешён (true) или отказано (false) / Granted, or refused; both without it.")
]
Exceptional = Annotated[
    bool | None, Query(description="Исключительный доступ / Exceptional access only, or all other; both without it.")
]
FindingKind = Annotated[
    str | None, Query(pattern=f"^({'|'.join(Kind)})$", description="Какие / Findings of this kind only.")
]
Own = Annotated[bool, Query(description="С собственными просмотрами / With what you looked at yourself.")]
Since = Annotated[AwareDatetime | None, a_time("from", "С этого времени / Recorded at this time or later.")]
Until = Annotated[AwareDatetime | None, a_time("to", "До этого времени / Recorded before this time.")]
PeriodStart = Annotated[datetime | None, a_time("periodStart", "С / From this time on; UTC without zone.")]
PeriodEnd = Annotated[datetime | None, a_time("periodEnd", "По / Up to this time; UTC without zone.")]

GroupId = Annotated[UUID, Path(description="Класс / The class group.")]
CourseId = Annotated[UUID, Path(description="Курс / The course.")]
StudentId = Annotated[UUID, Path(description="Ученик / The student.")]
Position = Annotated[int, Path(ge=1, le=LAST_POSITION, description="Позиция / The position.")]
MarkId = Annotated[UUID, Path(description="Отметка / The mark.")]
RepresentationId = Annotated[UUID, Path(description="Представительство / The representation.")]
ConsentId = Annotated[UUID, Path(description="Согласие / The consent.")]
RequestId = Annotated[UUID, Path(description="Обращение / The request.")]
WebhookId = Annotated[UUID, Path(description="Вебхук / The webhook.")]
PersonId = Annotated[UUID, Path(description="Человек / The person: an opaque id.")]
TenureId = Annotated[UUID, Path(description="Запись о должности / The tenure: `entry_id` of `GET /v1/staff`.")]
MandateId = Annotated[UUID, Path(description="Предписание / The mandate: `entry_id` of `GET /v1/staff`.")]
LoginId = Annotated[UUID, Path(description="Вход / The login: `login_id` of `GET /v1/me`.")]
PersonFilter = Annotated[UUID | None, Query(description="Один человек / One person's entries.")]
EntryKind = Annotated[
    Literal["office", "mandate", "login"] | None, Query(description="Один вид записей / Entries of one kind.")
]
InForceOn = Annotated[
    date | None, Query(ge=FIRST_DAY, le=LAST_DAY, description="Действующие в этот день / Those of this day.")
]
CommandKey = Annotated[str, Path(max_length=200, description="Ключ запроса / The Idempotency-Key of the request.")]

MAX_WAIT_S = 30

FeedAfter = Annotated[
    int | None,
    Query(ge=0, le=LAST_POSITION, description="После этой позиции / After this position: `seen` of the page before."),
]
FeedUntil = Annotated[
    int | None,
    Query(ge=0, le=LAST_POSITION, description="До этой позиции / Up to this position; without it the newest event."),
]
FeedLimit = Annotated[int, Query(ge=1, le=MAX_FEED, description="Сколько на странице / Events on a page.")]
Payload = Annotated[
    bool, Query(description="С содержанием, что записывается / With payload, which is disclosed to each student.")
]
TopicPrefix = Annotated[
    str | None,
    Query(pattern=r"^[a-z][a-z0-9_.]{0,99}$", description="Начало темы / Topics that begin so, such as `marks.`."),
]
SubjectFilter = Annotated[UUID | None, Query(description="О ком / Events about this subject only.")]
Wait = Annotated[
    float,
    Query(ge=0, le=MAX_WAIT_S, description="Сколько секунд ждать / Seconds to wait where there is nothing yet."),
]
LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", description="Позиция, после которой продолжить поток / Where a stream goes on."),
]
