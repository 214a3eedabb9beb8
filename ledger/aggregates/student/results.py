"""Decisions about the marks of periods, years and exams, and final marks: what goes into the summary sheets.

A weighted mean is advice; the teacher sets the mark of a period, once, and corrects it with a reason.
"""

from __future__ import annotations

from datetime import date
from uuid import UUID

from ledger.aggregates.scales import NOT_ATTESTED
from ledger.aggregates.school import PERIOD_KINDS, Period
from ledger.aggregates.student.marking import OUTSIDE_ENROLMENT, PERIOD_CLOSED, Place, late, text_limit
from ledger.aggregates.student.marks import PeriodMarkCorrected, PeriodMarkSet, result_key
from ledger.errors import Refused, Violation
from ledger.ids import new_id
from ledger.streams.base import Proposal, judge

BEFORE_PERIOD = "before_period"


def _year(place: Place, permit_id: UUID | None) -> list[Violation]:
    year = place.course.state.year
    record = place.school.state.years.get(year)
    closed = record is not None and record.closed_on is not None
    return late(place, f"year {year}" if closed else None, permit_id)


def _period(place: Place, period: str) -> Period:
    """Returns a period of the course's year, or refuses."""
    found = place.school.state.periods.get(period)
    if found is None or found.year != place.course.state.year:
        text = f"Period {period} is not defined for the course's year."
        raise Refused([Violation("period_unknown", text, place.student)])
    return found


def set_period_mark(
    place: Place,
    *,
    period: str,
    kind: str | None,
    value: str,
    scale: str | None,
    effective_on: date | None,
    permit_id: UUID | None,
) -> list[Proposal]:
    """Sets the mark of a period; without a scale of its own it is on the course's.

    The student must belong to the group on the mark's day; for one who left earlier, give a day before the leaving.
    """
    found = _period(place, period)
    day = effective_on or min(found.ends_on, place.context.today)
    violations = _year(place, permit_id)
    if day < found.starts_on:
        violations.append(Violation(BEFORE_PERIOD, "The period has not begun on that day.", place.student))
    if day > place.context.today:
        violations.append(Violation("in_future", "The day lies in the future.", place.student))
    if not place.record.in_group(place.course.state.group_id, day):
        violations.append(
            Violation(
                OUTSIDE_ENROLMENT,
                "The student did not belong to the course's class group on that day.",
                place.student,
            )
        )
    chosen = place.school.scale(scale or place.course.state.scale)
    mark = None
    if chosen is None:
        violations.append(Violation("scale_unknown", "This mark scale is not defined.", place.student))
    else:
        mark = NOT_ATTESTED if value.strip() == NOT_ATTESTED else chosen.read(value)
        if mark is None:
            text = f"The mark must be {chosen.describe()} or {NOT_ATTESTED}."
            violations.append(Violation("off_scale", text, place.student))
    of_kind = kind or found.kind
    if of_kind not in PERIOD_KINDS:
        text = f"The kind of a result is one of {', '.join(PERIOD_KINDS)}."
        violations.append(Violation("kind_unknown", text, place.student))
    if place.marks is not None and result_key(place.course_id, period, of_kind) in place.marks.state.results:
        text = "The mark of this period is set already; correct it, with a reason."
        violations.append(Violation("result_exists", text, place.student))
    flags = judge(violations, place.context, may_flag=frozenset({BEFORE_PERIOD, OUTSIDE_ENROLMENT, PERIOD_CLOSED}))
    if chosen is None or mark is None:  # judge has refused; this tells the type checker so
        raise Refused(violations)
    values = {
        "course_id": place.course_id,
        "period": period,
        "kind": of_kind,
        "scale": chosen.code,
        "scale_version": chosen.version,
        "value": mark,
        "effective_on": day,
        "permit_id": permit_id,
        "flags": tuple(flags),
    }
    return [*place.opening(), Proposal(place.ref, PeriodMarkSet, values, new_id())]


def correct_period_mark(
    place: Place,
    *,
    period: str,
    kind: str | None,
    value: str,
    scale: str | None,
    reason: str,
    permit_id: UUID | None,
) -> list[Proposal]:
    """Corrects the mark of a period, for a reason; the old value stays."""
    of_kind = kind or _period(place, period).kind
    results = place.marks.state.results if place.marks else {}
    result = results.get(result_key(place.course_id, period, of_kind))
    if result is None:
        text = "The student has no mark of this period in this course."
        raise Refused([Violation("result_unknown", text, place.student)])
    violations = _year(place, permit_id) + text_limit(reason, place)
    if not reason.strip():
        violations.append(Violation("reason_missing", "A correction needs a reason.", place.student))
    chosen = place.school.scale(scale or place.course.state.scale)
    if chosen is None:
        raise Refused([Violation("scale_unknown", "This mark scale is not defined.", place.student)])
    mark = NOT_ATTESTED if value.strip() == NOT_ATTESTED else chosen.read(value)
    if mark is None:
        text = f"The mark must be {chosen.describe()} or {NOT_ATTESTED}."
        violations.append(Violation("off_scale", text, place.student))
    elif mark == result.value:
        violations.append(Violation("same_value", "The mark has this value already.", place.student))
    judge(violations, place.context)
    values = {
        "course_id": place.course_id,
        "period": period,
        "kind": of_kind,
        "scale": chosen.code,
        "scale_version": chosen.version,
        "old_value": result.value,
        "value": mark,
        "reason": reason.strip(),
        "corrected_on": place.context.today,
        "permit_id": permit_id,
    }
    return [Proposal(place.ref, PeriodMarkCorrected, values, new_id())]
