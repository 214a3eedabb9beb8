"""Findings: each rule finds exactly what it says, each finding names its events, and company changes nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from ledger.policy import watching
from ledger.policy.offices import Office
from ledger.policy.watching import BURST_STUDENTS, BURST_WINDOW, STAFF, Kind, Seen, find

ZONE = "Europe/Moscow"
BEGAN = datetime(2025, 9, 1, tzinfo=UTC)
PEOPLE = [UUID(int=1), UUID(int=2)]
STUDENTS = [UUID(int=100 + number) for number in range(6)]


def accesses(*, most: int = 30) -> st.SearchStrategy[list[Seen]]:
    def seen(drawn: list[tuple[int, UUID, str, bool, bool, list[UUID]]]) -> list[Seen]:
        at, made = BEGAN, []
        for position, (minutes, actor, office, granted, exceptional, students) in enumerate(drawn, start=1):
            at += timedelta(minutes=minutes)
            made.append(Seen(position, at, UUID(int=position), actor, office, granted, exceptional, tuple(students)))
        return made

    return st.lists(
        st.tuples(
            st.integers(0, 600),
            st.sampled_from(PEOPLE),
            st.sampled_from([office.value for office in Office]),
            st.booleans(),
            st.booleans(),
            st.lists(st.sampled_from(STUDENTS), unique=True, max_size=4),
        ),
        max_size=most,
    ).map(seen)


def belongs(actor: UUID, student: UUID, day: date) -> bool:
    return (actor.int + student.int + day.day) % 2 == 0


def held(one: Seen, day: date) -> bool | None:
    return None if one.office == "teacher" else (one.actor.int + day.day) % 3 > 0


def of(found: list[watching.Finding], kind: Kind) -> set[int]:
    return {position for one in found if one.kind is kind for position in one.positions}


@given(accesses())
def test_each_rule_finds_exactly_what_it_says(seen: list[Seen]) -> None:
    found = find(seen, ZONE, belongs, held)
    local = {one.position: one.recorded_at.astimezone(ZoneInfo(ZONE)) for one in seen}
    assert of(found, Kind.EXCEPTIONAL) == {one.position for one in seen if one.exceptional}
    assert of(found, Kind.UNUSUAL_HOURS) == {
        one.position for one in seen if one.office in STAFF and not 6 <= local[one.position].hour < 22
    }
    assert of(found, Kind.LEFT_OFFICE) == {
        one.position for one in seen if held(one, local[one.position].date()) is False
    }
    assert of(found, Kind.OUTSIDE_CLASSES) == {
        one.position
        for one in seen
        if one.office in ("teacher", "class_teacher")
        and not one.exceptional
        and not all(belongs(one.actor, student, local[one.position].date()) for student in one.students)
    }
    assert of(found, Kind.BURST) == set()


@given(accesses())
def test_every_finding_is_of_one_person_in_one_office_and_names_its_events_in_order(seen: list[Seen]) -> None:
    by_position = {one.position: one for one in seen}
    found = find(seen, ZONE, belongs, held)
    for one in found:
        events = [by_position[position] for position in one.positions]
        assert {(event.actor, event.office) for event in events} == {(one.actor, one.office)}
        assert list(one.positions) == sorted(set(one.positions))
        assert (one.first_at, one.last_at) == (events[0].recorded_at, events[-1].recorded_at)
        assert one.refused == sum(not event.granted for event in events)
        assert one.students <= len({student for event in events for student in event.students})
        assert one.words.ru.endswith(".")
        assert one.words.en.endswith(".")
    assert [one.last_at for one in found] == sorted((one.last_at for one in found), reverse=True)


@given(accesses(), accesses())
def test_what_others_do_changes_no_finding_of_a_person(mine: list[Seen], others: list[Seen]) -> None:
    alone = find(mine, ZONE, belongs, held)
    strangers = [Seen(one.position + 1000, one.recorded_at, one.access_id, UUID(int=9), *_rest(one)) for one in others]
    together = find(sorted([*mine, *strangers], key=lambda one: one.recorded_at), ZONE, belongs, held)
    assert [one for one in together if one.actor != UUID(int=9)] == alone


def _rest(one: Seen) -> tuple[str, bool, bool, tuple[UUID, ...]]:
    return one.office, one.granted, one.exceptional, one.students


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 120)), min_size=1, max_size=12),
    st.sampled_from([office.value for office in Office]),
)
def test_burst_is_found_exactly_where_a_window_holds_too_many_students(
    drawn: list[tuple[int, int]], office: str
) -> None:
    at, seen, student = BEGAN, [], 1000
    for position, (seconds, count) in enumerate(drawn, start=1):
        at += timedelta(seconds=seconds)
        who = tuple(UUID(int=student + number) for number in range(count))
        student += count
        seen.append(Seen(position, at, UUID(int=position), PEOPLE[0], office, True, False, who))  # noqa: FBT003 - granted, and not exceptional
    wanted = set()
    for last in seen:
        window = [
            one for one in seen if one.position <= last.position and last.recorded_at - one.recorded_at <= BURST_WINDOW
        ]
        if sum(len(one.students) for one in window) > BURST_STUDENTS and office != "system":
            wanted |= {one.position for one in window}
    assert of(list(watching.bursts(seen)), Kind.BURST) == wanted
