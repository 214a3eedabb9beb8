"""The file plan (номенклатура дел): which carrier of a record is kept for how long, by which paragraph.

The default holds exactly the terms that the two regulations give, and for consents and requests, which are no results,
those of the list of typical documents (order 236 of Rosarchiv). Where all are silent the term is `None` and the
retention view shows "no term set": a visible gap, never eligible for destruction. S0 and S1 are the two regulations
whose clauses `docs/regulations.md` numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import MAXYEAR, date
from enum import StrEnum
from typing import TYPE_CHECKING

from ledger.streams.record_classes import RecordClass

if TYPE_CHECKING:
    from collections.abc import Mapping


class TermKind(StrEnum):
    """How a term is meant: a minimum makes a record eligible, an exact one also says when it must be gone."""

    AT_LEAST = "at_least"
    EXACT = "exact"


class Clock(StrEnum):
    """From when a term runs."""

    YEAR_END = "year_end"
    """The end of the school year of the last record of the class (31 August when the year is not known)."""
    COMPLETION = "completion"
    """The day on which the student completed the programme; does not run for those who left without completing."""
    ENDED = "ended"
    """The day on which the last of them ended, by its term or by withdrawal; does not run while one has no end."""
    CALENDAR_YEAR_END = "calendar_year_end"
    """The end of the calendar year of the last record, from which the archives' own lists count."""


@dataclass(frozen=True, slots=True)
class Term:
    """A term of keeping: `years` after the clock; 0 means up to the clock itself."""

    years: int
    kind: TermKind
    clock: Clock
    source: str


@dataclass(frozen=True, slots=True)
class Carrier:
    """Something that a record is kept in, with its term (`None`: the regulations set none)."""

    code: str
    title_ru: str
    title_en: str
    term: Term | None


UNCONFIRMED = " (to be confirmed)"
"""Behind a source that nobody has held against the text of the order yet: whoever relies on the term looks first."""

_CARRIERS: tuple[Carrier, ...] = (
    Carrier("class_journal", "Классный журнал", "Class journal", None),
    Carrier("extracurricular_journal", "Журнал внеурочных занятий", "Extracurricular journal", None),
    Carrier("supplementary_journal", "Журнал дополнительного образования", "Supplementary journal", None),
    Carrier("diary", "Дневник", "Diary", None),
    Carrier(
        "control_works",
        "Тетради контрольных работ",
        "Control-work notebooks",
        Term(0, TermKind.AT_LEAST, Clock.YEAR_END, "S1-4.5.2"),
    ),
    Carrier(
        "personal_file",
        "Личное дело",
        "Personal file",
        Term(5, TermKind.EXACT, Clock.COMPLETION, "S1-6.4"),
    ),
    Carrier(
        "summary_sheets",
        "Сводные ведомости итоговой успеваемости",
        "Summary sheets of final results",
        Term(75, TermKind.AT_LEAST, Clock.YEAR_END, "S1-6.3"),
    ),
    Carrier(
        "certificate_book",
        "Книга учёта и записи выданных аттестатов",
        "Certificate book",
        Term(50, TermKind.AT_LEAST, Clock.YEAR_END, "S1-6.1"),
    ),
    Carrier("portfolio", "Портфолио", "Portfolio", None),
    Carrier("award_orders", "Приказы о поощрении", "Award orders", None),
    Carrier(
        "consents",
        "Согласия на обработку персональных данных",
        "Consents to the processing of personal data",
        Term(3, TermKind.AT_LEAST, Clock.ENDED, "Rosarchiv 236 of 20.12.2019, 441"),
    ),
    Carrier(
        "requests",
        "Обращения учащихся и законных представителей",
        "Requests of students and representatives",
        Term(5, TermKind.AT_LEAST, Clock.CALENDAR_YEAR_END, f"Rosarchiv 236 of 20.12.2019, 154{UNCONFIRMED}"),
    ),
    Carrier("disclosure_register", "Реестр раскрытий", "Disclosure register", None),
)

CARRIERS: Mapping[str, Carrier] = {carrier.code: carrier for carrier in _CARRIERS}

CARRIERS_OF: Mapping[RecordClass, tuple[str, ...]] = {
    RecordClass.PERSONAL_FILE: ("personal_file",),
    RecordClass.MARKS: ("class_journal", "extracurricular_journal", "supplementary_journal", "diary", "control_works"),
    RecordClass.FINAL_RESULTS: ("summary_sheets", "certificate_book"),
    RecordClass.ACHIEVEMENTS: ("portfolio",),
    RecordClass.AWARDS: ("award_orders", "portfolio"),
    RecordClass.CREDITS: ("personal_file",),
    RecordClass.REPRESENTATION: ("personal_file",),
    RecordClass.CONSENTS: ("consents",),
    RecordClass.REQUESTS: ("requests",),
    RecordClass.DISCLOSURES: ("disclosure_register",),
}
"""The carriers that each class of a student's records is kept in."""

SCHOOL_YEAR_END = (8, 31)


@dataclass(frozen=True, slots=True)
class Due:
    """When a record class may, and when it must, be destroyed; and why.

    `status`: `no_term` (some carrier has no term), `waiting` (the clock has not started), `running` (the term ends on
    `due_on`, which may have passed: see `eligible`), `released` (handed to the parents, nothing is left to keep).
    """

    status: str
    due_on: date | None
    destroy_by: date | None
    carriers: tuple[str, ...]
    sources: tuple[str, ...]

    def eligible(self, today: date) -> bool:
        """Tells whether the record may be destroyed today; never that it was."""
        return self.status == "running" and self.due_on is not None and self.due_on < today


def years_after(start: date, years: int) -> date:
    """Returns the same day `years` later; 29 February becomes 28 where there is none.

    Foreign systems write 9999-12-31 for "never": what would end after the calendar ends on its last day.
    """
    if start.year + years > MAXYEAR:
        return date.max
    try:
        return start.replace(year=start.year + years)
    except ValueError:
        return start.replace(year=start.year + years, day=28)


def year_end(day: date) -> date:
    """Returns the end of the school year (1 September to 31 August) that `day` falls into."""
    end = date(day.year, *SCHOOL_YEAR_END)
    return end if day <= end else years_after(end, 1)


def due(
    record_class: RecordClass,
    *,
    last_on: date,
    completed_on: date | None,
    released_on: date | None,
    ended_on: date | None = None,
) -> Due:
    """Returns when a student's record class is due.

    A class is due with its last carrier: one carrier without a term keeps the whole class. Disclosures live as long as
    what they disclosed, so their clock is not computed here but shown as "no term set".

    Args:
        record_class: one of the student's classes.
        last_on: the day of the last event of the class (when it happened).
        completed_on: when the student completed the programme, if so.
        released_on: when the class was handed to the parents, if so.
        ended_on: of what holds for a time (consents), when the last one ended; None while one has no end.
    """
    starts = {
        Clock.YEAR_END: year_end(last_on),
        Clock.COMPLETION: completed_on,
        Clock.ENDED: ended_on,
        Clock.CALENDAR_YEAR_END: date(last_on.year, 12, 31),
    }
    carriers = CARRIERS_OF[record_class]
    if released_on is not None:
        source = "S1-4.5.4" if record_class is RecordClass.PERSONAL_FILE else "S1-4.5.1"
        return Due("released", None, None, carriers, (source,))
    ends: list[date] = []
    exact: list[date] = []
    sources: list[str] = []
    for code in carriers:
        term = CARRIERS[code].term
        if term is None:
            return Due("no_term", None, None, carriers, tuple(sources))
        sources.append(term.source)
        start = starts[term.clock]
        if start is None:
            return Due("waiting", None, None, carriers, tuple(sources))
        end = years_after(start, term.years)
        ends.append(end)
        if term.kind is TermKind.EXACT:
            exact.append(end)
    due_on = max(ends)
    destroy_by = due_on if exact and max(exact) == due_on else None
    return Due("running", due_on, destroy_by, carriers, tuple(sources))
