"""Moments as typed: a position, the end of a day at the school, or a time with its zone; anything else is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
import typer

from ledger.application.disclose.moment import NOW, AsOf
from ledger.cli.moments import When

ZONE = "Europe/Moscow"


def test_number_is_a_position() -> None:
    assert When("4711").known(ZONE) == AsOf(4711)
    assert When("0").known(ZONE, date(2025, 9, 1)) == AsOf(0, None, date(2025, 9, 1))


@pytest.mark.parametrize(
    ("zone", "day", "last"),
    [
        (ZONE, "2025-09-01", datetime(2025, 9, 1, 20, 59, 59, 999999, UTC)),
        ("Europe/Berlin", "2025-10-26", datetime(2025, 10, 26, 22, 59, 59, 999999, UTC)),  # a day of 25 hours
    ],
)
def test_day_is_known_at_its_end_at_the_school(zone: str, day: str, last: datetime) -> None:
    assert When(day).known(zone).known_at == last


def test_period_has_its_first_and_last_day_whole_at_the_school() -> None:
    assert When("2025-09-01").begins(ZONE) == datetime(2025, 8, 31, 21, tzinfo=UTC)
    assert When("2025-10-26").ends("Europe/Berlin") == datetime(2025, 10, 26, 23, tzinfo=UTC)
    assert When("2025-09-01T08:00:00Z").ends(ZONE) == datetime(2025, 9, 1, 8, tzinfo=UTC)
    with pytest.raises(typer.BadParameter, match="days or times"):
        When("4711").begins(ZONE)


def test_time_is_what_it_says() -> None:
    assert When("2025-09-01T08:00:00+03:00").known(ZONE).known_at == datetime(2025, 9, 1, 5, tzinfo=UTC)


def test_what_happens_happens_on_a_day() -> None:
    assert When("2025-09-01").happened() == AsOf(effective_on=date(2025, 9, 1))
    for text in ("4711", "2025-09-01T08:00:00Z"):
        with pytest.raises(typer.BadParameter, match="give days"):
            When(text).happened()


@pytest.mark.parametrize(
    "text", ["", "yesterday", "-1", "2025-13-01", "2025-9-1", "2025-09-01T08:00:00", "9" * 30, "٤٧"]
)
def test_anything_else_is_refused_and_says_what_to_give(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="give a position, a day"):
        When(text)


def test_nothing_asked_is_now() -> None:
    assert NOW.is_now
    assert not AsOf(0).is_now
    assert not AsOf(effective_on=date(2025, 9, 1)).is_now


@pytest.mark.parametrize(
    "text", ["0001-01-01", "1899-12-31", "9999-12-31", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"]
)
def test_moment_at_the_edge_of_the_calendar_is_refused_with_what_to_give(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="from 1900-01-01 to 2199-12-31"):
        When(text)
