"""What all forms share: strictness, bounds, and descriptions in Russian first, English beside."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

MAX_TEXT = 2000
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2199, 12, 31)
FIRST_TIME, LAST_TIME = datetime(1900, 1, 1, tzinfo=UTC), datetime(2199, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
"""What is asked of a period lies between them: beyond, a calendar ends, and the instant beside it is no time."""
CODE = r"^[0-9A-Za-z][0-9A-Za-z._/-]{0,39}$"


class Form(BaseModel):
    """Base of the forms. Errors never carry what was sent (`hide_input_in_errors`)."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, str_max_length=MAX_TEXT, hide_input_in_errors=True
    )


def said(russian: str, english: str, **rules: Any) -> Any:  # noqa: ANN401 - as pydantic's own Field
    """Returns a field's description in both languages, with its rules."""
    return Field(description=f"{russian} / {english}", **rules)


def one_of(words: tuple[str, ...]) -> dict[str, Any]:
    """Returns what tells the documentation of a closed vocabulary; the aggregates themselves refuse other words."""
    return {"enum": list(words)}


Day = Annotated[date, Field(ge=FIRST_DAY, le=LAST_DAY)]
Code = Annotated[str, Field(pattern=CODE)]
Word = Annotated[str, Field(min_length=1, max_length=40)]
Title = Annotated[str, Field(min_length=1, max_length=300)]
Document = Annotated[str, Field(max_length=500)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
MarkValue = Annotated[str, Field(min_length=1, max_length=20)]
