"""Parameters of addresses and queries, with their bounds."""

from __future__ import annotations

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import Path, Query
from pydantic import AwareDatetime

from ledger.api.schemas.base import FIRST_DAY, LAST_DAY
from ledger.application.disclose.shown import MAX_PAGE

LAST_POSITION = 2**63 - 1

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
EffectiveOn = Annotated[
    date | None,
    Query(ge=FIRST_DAY, le=LAST_DAY, description="Что произошло к этому дню / What had happened by this day."),
]
GroupFilter = Annotated[UUID | None, Query(description="Класс / A class group.")]
Source = Annotated[str | None, Query(min_length=1, max_length=100, description="Другая система / Another system.")]
ForeignIdText = Annotated[
    str | None, Query(min_length=1, max_length=200, description="Идентификатор в ней / The id there.")
]

GroupId = Annotated[UUID, Path(description="Класс / The class group.")]
CourseId = Annotated[UUID, Path(description="Курс / The course.")]
StudentId = Annotated[UUID, Path(description="Ученик / The student.")]
MarkId = Annotated[UUID, Path(description="Отметка / The mark.")]
CommandKey = Annotated[str, Path(max_length=200, description="Ключ запроса / The Idempotency-Key of the request.")]
