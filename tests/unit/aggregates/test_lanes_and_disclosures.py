"""The ground of the aggregates: lanes, judging, registry, disclosures; and the tests' world held to the executor."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import pytest
from eventsourcing.domain import OriginatorIDError, OriginatorVersionError

from ledger.aggregates import registry
from ledger.aggregates.disclosures import (
    AccessLane,
    AccessOpened,
    AccessRefused,
    DataDisclosed,
    DisclosureRefused,
    access_lane,
    disclose,
    disclosures_lane,
)
from ledger.aggregates.registry import EVENTS
from ledger.aggregates.school import School, SchoolFounded, found_school
from ledger.aggregates.student import StudentRecord, disclosures_stream, marks_lane, record_lane
from ledger.errors import Refused, Violation
from ledger.ids import new_id
from ledger.store.batch import Waiting, decide_batch
from ledger.store.commands import Envelope, Recorded
from ledger.store.header import Header
from ledger.store.lanes import BatchLanes, LaneCache
from ledger.streams.base import UNVERSIONED, Context, Lane, LaneRef, Lanes, LedgerEvent, Proposal, State, judge
from ledger.streams.record_classes import STUDENT_CLASSES, RecordClass
from tests.support.school import YEAR, a_name, a_school
from tests.support.world import NOW, World, a_context, event_of, given, state_of

if TYPE_CHECKING:
    from collections.abc import Iterable

ACCESS: dict[str, object] = {
    "office": "teacher",
    "on_behalf_of": None,
    "recipient": None,
    "purpose": "teaching",
    "legal_basis": "152-FZ 6.1.2",
    "policy": "teaching-staff",
    "channel": "api",
    "resource": "journal",
}


def test_imported_history_keeps_flags_and_is_refused_for_the_rest() -> None:
    soft, hard = Violation("soft", "Soft."), Violation("hard", "Hard.")
    history = a_context(imported=True)
    assert judge([soft], history, may_flag=frozenset({"soft"})) == ["soft"]
    assert judge([], history) == []
    with pytest.raises(Refused) as caught:
        judge([soft, hard], history, may_flag=frozenset({"soft"}))
    assert caught.value.violations == (hard,)


def test_live_command_is_refused_for_what_history_is_flagged_for() -> None:
    soft = Violation("soft", "Soft.")
    with pytest.raises(Refused):
        judge([soft], a_context(), may_flag=frozenset({"soft"}))


def test_lane_is_opened_once_and_by_its_opening_event() -> None:
    school = a_school()
    opening, second = school.history(school.ref)[:2]
    assert isinstance(opening, SchoolFounded)
    with pytest.raises(ValueError, match="opens a lane"):
        opening.mutate(school.lane)
    with pytest.raises(OriginatorIDError):
        second.mutate(None)


def test_event_of_another_version_is_not_applied() -> None:
    school = a_school()
    with pytest.raises(OriginatorVersionError):
        school.history(school.ref)[1].mutate(school.lane)


def test_one_student_has_lanes_of_their_own_names() -> None:
    student, other = new_id(), new_id()
    lanes = [
        record_lane(student).stream_id,
        marks_lane(student, YEAR).stream_id,
        marks_lane(student, "2026-2027").stream_id,
        disclosures_stream(student),
        marks_lane(other, YEAR).stream_id,
    ]
    assert len(set(lanes)) == len(lanes)
    assert marks_lane(student, YEAR) == marks_lane(student, YEAR)
    assert record_lane(student) == LaneRef(student, student, StudentRecord)


def test_access_names_each_student_in_their_own_lane() -> None:
    access, actor, students = new_id(), new_id(), (new_id(), new_id())
    proposals = disclose(
        AccessOpened, ACCESS, access_id=access, actor=actor, students=students, categories=("marks", "awards")
    )
    world = World()
    opened, *disclosed = world.record(proposals)
    assert cast("AccessOpened", opened).students == 2
    assert proposals[0].lane == access_lane(access, actor)
    assert [proposal.lane for proposal in proposals[1:]] == [disclosures_lane(student) for student in students]
    for event in disclosed:
        assert isinstance(event, DataDisclosed)
        assert (event.access_id, event.categories) == (access, ("marks", "awards"))
        assert event.originator_version == UNVERSIONED
    assert world.get(access_lane(access, actor)) is None


def test_refused_access_is_recorded_in_each_students_lane_as_refused() -> None:
    values = {name: ACCESS[name] for name in ("office", "purpose", "policy", "channel", "resource")}
    proposals = disclose(
        AccessRefused, values, access_id=new_id(), actor=new_id(), students=(new_id(),), categories=("marks",)
    )
    assert [proposal.event for proposal in proposals] == [AccessRefused, DisclosureRefused]


def test_every_topic_is_short_neutral_and_used_once() -> None:
    assert len(set(EVENTS.values())) == len(EVENTS)
    for topic, event in EVENTS.items():
        assert topic == event.TOPIC
        assert topic.isascii()
        assert 0 < len(topic) <= 40


def test_every_event_of_a_student_has_a_class_of_a_student() -> None:
    for topic, event in EVENTS.items():
        about_school = topic.split(".")[0] in {"school", "group", "course", "webhook", "staff"}
        assert event.RECORD_CLASS in ((RecordClass.ORGANISATION,) if about_school else STUDENT_CLASSES)


def test_topic_used_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Impostor(LedgerEvent):
        TOPIC = "school.founded"

    class Module:
        pass

    Module.Impostor = Impostor  # type: ignore[attr-defined]  # a stand-in for a module
    monkeypatch.setattr(registry, "_MODULES", (*registry._MODULES, Module))
    with pytest.raises(ValueError, match=r"school\.founded is used twice"):
        registry._collect()


def test_given_builds_a_lane_and_goes_on_with_it() -> None:
    school = a_school()
    ref = a_name(School)
    from_events: School | None = None
    for event in school.history(school.ref):
        from_events = cast("School", event.mutate(from_events))
    assert from_events is not None
    assert state_of(from_events) == state_of(school.lane)
    proposals = a_founding(ref)
    lane: School = given(None, proposals[:1])
    assert lane.version == 1
    assert given(lane, proposals[1:]).scale("five") is not None


def a_founding(ref: LaneRef[School]) -> list[Proposal]:
    return found_school(ref, None, "Школа", a_context())


async def test_world_records_exactly_what_the_executor_decides() -> None:
    source = a_school()
    mark = source.marks(source.student, "5")
    source.corrects(source.student, mark, "4")
    source.achieves(source.student)
    known = {"originator_id", "originator_version", "timestamp", "event_id"}
    proposals = [
        replayed(ref, event, {name: value for name, value in vars(event).items() if name not in known})
        for ref, event in source.events
    ]
    proposals += disclose(
        AccessOpened,
        ACCESS,
        access_id=new_id(),
        actor=UUID(int=1),
        students=(source.student.subject_id,),
        categories=("marks",),
    )
    world = World()
    recorded = world.record(proposals)
    lanes = BatchLanes(LaneCache(10))
    (decided,) = await decide_batch([a_waiting(proposals)], lanes, NOW, empty_streams)
    assert decided.refusal is None
    assert [event for _, event in decided.events] == recorded
    assert [ref for ref, _ in decided.events] == [ref for ref, _ in world.events]
    held = {proposal.lane.stream_id: lanes.held(proposal.lane.stream_id) for proposal in proposals}
    assert {stream: state_of(lane) for stream, lane in held.items() if lane} == world.states() == source.states()


def test_cache_is_bounded_and_forgets_first_what_moved() -> None:
    cache, lanes = LaneCache(3), [Lane.blank(new_id(), 1, NOW, State()) for _ in range(5)]
    for lane in lanes[:3]:
        cache.put(lane)
    cache.outdate([lanes[0].id, lanes[1].id, new_id()])
    cache.put(lanes[3])
    assert (cache.take_outdated(lanes[0].id.int), cache.take_outdated(lanes[1].id.int)) == (None, lanes[1])
    cache.put(lanes[1])
    assert [cache.get(lane.id.int) for lane in lanes[1:4]] == lanes[1:4]
    cache.outdate([lanes[1].id])
    cache.evict([lanes[1].id])
    assert cache.take_outdated(lanes[1].id.int) is None
    cache.outdate_all()
    assert (len(cache), cache.take_outdated(lanes[2].id.int)) == (0, lanes[2])


def test_batch_that_is_taken_back_leaves_what_it_read_and_nothing_that_it_changed() -> None:
    """Nor what it changed by half: an event that cannot be applied may have been so far."""
    school = a_school()
    cache, (read, loaded) = LaneCache(10), [Lane.blank(new_id(), 1, NOW, State()) for _ in range(2)]
    cache.put(school.lane)
    cache.put(read)
    lanes = BatchLanes(cache)
    lanes.put(loaded.id, loaded)
    for lane in (read, loaded):
        assert lanes.get(LaneRef(lane.id, lane.id, Lane)) is lane
    assert lanes.get(school.ref) is school.lane
    with pytest.raises(ValueError, match="is open"):
        lanes.advance(school.ref, event_of(a_founding(school.ref)[0], None))
    lanes.take_back()
    assert [cache.get(lane.id.int) for lane in (read, loaded, school.lane)] == [read, loaded, None]


def replayed(ref: LaneRef[Any], event: LedgerEvent, values: dict[str, object]) -> Proposal:
    return Proposal(ref, type(event), values, event.event_id)


class Everything:
    """A command whose decision was taken already."""

    def __init__(self, proposals: list[Proposal]) -> None:
        self.proposals = proposals

    def decide(self, lanes: Lanes, context: Context) -> list[Proposal]:
        lanes.need(*(proposal.lane for proposal in self.proposals if proposal.lane.kind.LOADED))
        return self.proposals

    def cites(self, lanes: Lanes, context: Context) -> None:
        return None


def a_waiting(proposals: list[Proposal]) -> Waiting:
    ids = [new_id() for _ in range(3)]
    header = Header(ids[0], "teacher", ids[1], None, ids[2], None, "electronic")
    future: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()
    return Waiting(Envelope(Everything(proposals), header, a_context()), future)


async def empty_streams(refs: Iterable[LaneRef[Any]]) -> dict[UUID, Lane | None]:
    return {ref.stream_id: None for ref in refs}


def test_lane_of_another_kind_is_not_given_out() -> None:
    school = a_school()
    assert school.get(LaneRef(school.ref.stream_id, school.ref.subject_id, StudentRecord)) is None
    assert school.get(disclosures_lane(school.student.subject_id)) is None
    assert isinstance(event_of(a_founding(school.ref)[1], school.lane, NOW + timedelta(1)), LedgerEvent)
    assert AccessLane.KIND == "access"
