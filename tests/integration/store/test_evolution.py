"""An event of three forms, end to end: each version records, the newest reads all of them, the oldest refuses to.

The versions are mappers with a class each for the same topics; everything else is the ledger's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

import msgspec
import pytest

from ledger.aggregates.registry import EVENTS
from ledger.application.audit import Auditor
from ledger.errors import NewerEvent
from ledger.ids import new_id
from ledger.projections.runner import ProjectionRunner
from ledger.projections.store import ViewFailed
from ledger.projections.view import Column, Fact, Row, Rows, Rule, Table, View
from ledger.store.keyring import Keyring
from ledger.store.mapper import EventMapper
from ledger.streams.base import Lane, LaneRef, LedgerEvent, OpeningEvent, Proposal, State
from ledger.streams.record_classes import RecordClass
from tests.support.commands import Scripted, envelope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ledger.store.database import Database
    from ledger.store.executor import CommandExecutor
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.streams.base import Lanes
    from tests.conftest import MakeExecutor

STUDENT = UUID("0193b5c4-0000-7000-8000-00000000000d")
OPENED, TAKEN = "test.notes_opened", "test.note_taken"

# --- the first version ----------------------------------------------------------------------------------------------


class TextsState(State):
    texts: list[str] = msgspec.field(default_factory=list)


class Notes(Lane):
    KIND = "test_notes"
    STATE = TextsState


class NotesOpened(OpeningEvent):
    TOPIC = OPENED
    RECORD_CLASS = RecordClass.MARKS
    LANE = Notes

    def apply(self, aggregate: Notes) -> None:
        """Begins."""


class NoteTaken(LedgerEvent):
    TOPIC = TAKEN
    RECORD_CLASS = RecordClass.MARKS
    text: str

    def apply(self, aggregate: Notes) -> None:
        """Remembers the text."""
        aggregate._state.texts.append(self.text)


# --- the second: the text is split; what a lane remembers has another shape -------------------------------------------


class TitlesState(State):
    titles: dict[str, int] = msgspec.field(default_factory=dict)


class Notes2(Lane):
    KIND = Notes.KIND
    STATE = TitlesState
    SHAPE = 2


class NotesOpened2(OpeningEvent):
    TOPIC = OPENED
    RECORD_CLASS = RecordClass.MARKS
    LANE = Notes2

    def apply(self, aggregate: Notes2) -> None:
        """Begins."""


class NoteTaken2(LedgerEvent):
    TOPIC = TAKEN
    RECORD_CLASS = RecordClass.MARKS
    class_version: ClassVar[int] = 2
    title: str
    body: str

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        """Splits the text."""
        state["title"], _, state["body"] = state.pop("text").partition(": ")

    def apply(self, aggregate: Notes2) -> None:
        """Counts the title."""
        titles = aggregate._state.titles
        titles[self.title] = titles.get(self.title, 0) + 1


# --- the third: a day ---------------------------------------------------------------------------------------------


class NoteTaken3(NoteTaken2):
    class_version: ClassVar[int] = 3
    day: date | None

    @staticmethod
    def upcast_v2_v3(state: dict[str, Any]) -> None:
        """Adds the day, which nobody knew."""
        state["day"] = None


class NoteBody(msgspec.Struct):
    title: str
    body: str
    day: date | None


class NotesView(View):
    __slots__ = ()

    def ddl(self) -> str:
        """Returns the statement; a view of the service has it in a file."""
        return (
            "CREATE TABLE notes (note_id uuid NOT NULL PRIMARY KEY, subject_id uuid NOT NULL,"
            " record_class text NOT NULL, position bigint NOT NULL, sealed bytea NOT NULL)"
        )


def show(fact: Fact, rows: Rows) -> None:
    event, entry = fact.event, fact.entry
    assert isinstance(event, NoteTaken3)
    body = NoteBody(event.title, event.body, event.day)
    rows.put("notes", (entry.event_id,), Row(entry.subject_id, entry.record_class, entry.position, (), body))


VIEW = NotesView(
    "test_notes", 1, (Table("notes", (Column("note_id", "uuid"),), body=NoteBody),), {NoteTaken3: Rule(show)}
)


# --- a program of each version ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Program:
    """What one version of the ledger knows."""

    mapper: EventMapper
    lane: LaneRef[Any]
    note: type[LedgerEvent]
    opened: type[OpeningEvent]

    def takes(self, **values: object) -> Scripted:
        """Returns the command that takes a note; it decides on the lane."""
        return Scripted(partial(self._decide, values))

    def _decide(self, values: Mapping[str, object], lanes: Lanes) -> list[Proposal]:
        opening = [] if lanes.get(self.lane) else [Proposal(self.lane, self.opened, {}, new_id())]
        return [*opening, Proposal(self.lane, self.note, values, new_id())]


def program(note: type[LedgerEvent], opened: type[OpeningEvent]) -> Program:
    mapper = EventMapper({**EVENTS, OPENED: opened, TAKEN: note})
    return Program(mapper, LaneRef(STUDENT, STUDENT, opened.LANE), note, opened)


FIRST, SECOND, THIRD = (
    program(NoteTaken, NotesOpened), program(NoteTaken2, NotesOpened2), program(NoteTaken3, NotesOpened2),
)  # fmt: skip
RECORDED = (
    NoteBody("Сбор", "в девять", None), NoteBody("Сбор", "в десять", None), NoteBody("Поход", "в лес", None),
    NoteBody("Поход", "в горы", date(2025, 10, 15)),
)  # fmt: skip


async def three_versions(make: MakeExecutor) -> CommandExecutor:
    """Each version records after the one before has stopped, with snapshots; returns the executor of the last."""
    first = await make(mapper=FIRST.mapper, snapshot_every=2)
    await first.execute(envelope(FIRST.takes(text="Сбор: в девять")))
    await first.execute(envelope(FIRST.takes(text="Сбор: в десять")))
    second = await make(mapper=SECOND.mapper, snapshot_every=2)
    await second.execute(envelope(SECOND.takes(title="Поход", body="в лес")))
    third = await make(mapper=THIRD.mapper, snapshot_every=2)
    await third.execute(envelope(THIRD.takes(title="Поход", body="в горы", day=date(2025, 10, 15))))
    return third


def runner(program: Program, database: Database, keks: KeyEncryptionKeys, view: View = VIEW) -> ProjectionRunner:
    return ProjectionRunner(database, program.mapper, Keyring(keks), [view])


async def test_lane_is_folded_from_all_three_forms(make_executor: MakeExecutor, ledger_db: Database) -> None:
    await three_versions(make_executor)
    seen: list[object] = []

    def look(lanes: Lanes) -> list[Proposal]:
        lane = lanes.get(THIRD.lane)
        assert lane is not None
        seen.append(lane._state)
        return THIRD._decide({"title": "Сбор", "body": "", "day": None}, lanes)

    last = await make_executor(mapper=THIRD.mapper)
    await last.execute(envelope(Scripted(look)))
    assert seen[-1] == TitlesState({"Сбор": 3, "Поход": 2})  # the state is the lane's own, and has moved on since
    with ledger_db.connect("owner") as owner:
        kinds = owner.execute("SELECT kind, version FROM snapshots").fetchall()
    assert kinds == [("test_notes/2", 4)], "The snapshot of the older shape is passed over and then replaced."


async def test_view_of_all_three_forms_is_shown_rebuilt_and_audited(
    make_executor: MakeExecutor, ledger_db: Database, keks: KeyEncryptionKeys
) -> None:
    await three_versions(make_executor)
    last = runner(THIRD, ledger_db, keks)
    assert last.catch_up() == 5
    auditor = Auditor(ledger_db, THIRD.mapper, keks, [VIEW])
    live = auditor.audit()
    assert live.equal, live.findings
    last.rebuild([VIEW])
    assert auditor.audit() == live
    shown: list[NoteBody] = []

    def see(fact: Fact, rows: Rows) -> None:
        show(fact, rows)
        shown.append(rows.get("notes", (fact.entry.event_id,)).body)  # type: ignore[union-attr]  # it was put just now

    runner(THIRD, ledger_db, keks, replace(VIEW, version=2, rules={NoteTaken3: Rule(see)})).catch_up()
    assert tuple(shown) == RECORDED


@pytest.mark.parametrize(
    ("older", "finding"),
    [
        (SECOND, "test.note_taken was recorded in its version 3, and this version of the ledger knows it up to 2"),
        (FIRST, "test.note_taken was recorded in its version 2, and this version of the ledger knows it up to 1"),
        (replace(FIRST, mapper=EventMapper(EVENTS)), "This version of the ledger knows no event 'test.notes_opened'"),
    ],
    ids=["newer form", "newer snapshot and form", "unknown topic"],
)
async def test_older_program_stops_at_a_newer_event_and_says_which_version_to_start(
    make_executor: MakeExecutor, ledger_db: Database, keks: KeyEncryptionKeys, older: Program, finding: str
) -> None:
    await three_versions(make_executor)
    executor = await make_executor(mapper=older.mapper)
    values: dict[str, object] = {"title": "Поход", "body": "домой"} if older is SECOND else {"text": "домой"}
    with pytest.raises(NewerEvent, match=finding) as caught:
        await executor.execute(envelope(older.takes(**values)))
    assert "Start the version that recorded it" in caught.value.help
    with ledger_db.connect("owner") as owner:
        assert owner.execute("SELECT max(position) FROM events").fetchone() == (5,), "It recorded on what it misread."
    with pytest.raises(ViewFailed, match="NewerEvent"):
        runner(older, ledger_db, keks, replace(VIEW, rules={})).catch_up()
    report = Auditor(ledger_db, older.mapper, keks, []).audit()
    assert [found for found in report.findings if finding in str(found)]


async def test_running_older_program_does_not_decide_on_what_a_newer_one_recorded(make_executor: MakeExecutor) -> None:
    """The older one has the lane in memory; what the newer one adds to it is noticed and not skipped."""
    first = await make_executor(mapper=FIRST.mapper)
    await first.execute(envelope(FIRST.takes(text="Сбор: в девять")))
    third = await make_executor(mapper=THIRD.mapper)
    await third.execute(envelope(THIRD.takes(title="Поход", body="", day=None)))
    with pytest.raises(NewerEvent):
        await first.execute(envelope(FIRST.takes(text="Сбор: в десять")))
    await third.execute(envelope(THIRD.takes(title="Сбор", body="", day=None)))
