"""The command executor: one append per batch, each command on its own, the same answer for the same key."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import astuple, replace

from ledger.aggregates.disclosures import AccessTurnedAway, access_lane
from ledger.aggregates.student import marks_lane
from ledger.aggregates.student.marks import MarkVoided, StudentMarks
from ledger.errors import Busy, Forbidden, InvalidInput, KeyReused, Refused, StoreUnavailable
from ledger.ids import new_id
from ledger.store.commands import Idempotency, RefusedOnRecord
from ledger.store.recorded import select_recorded
from ledger.streams.base import LaneRef, Proposal
from tests.support.commands import CLIENT, CONTEXT, TODAY, YEAR, Enrol, Mark, Scripted, envelope

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import psycopg

    from ledger.store.commands import Envelope
    from ledger.store.database import Database, Row
    from ledger.store.executor import CommandExecutor
    from ledger.store.secrets import Hasher
    from ledger.streams.base import Context, Lanes
    from tests.conftest import MakeExecutor


def _count(owner: psycopg.Connection[Row], table: str) -> int:
    row = owner.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


async def test_answer_names_what_was_recorded(executor: CommandExecutor, owner: psycopg.Connection[Row]) -> None:
    student = new_id()
    await executor.execute(envelope(Enrol(student)))
    recorded = await executor.execute(envelope(Mark(student)))
    rows = owner.execute(
        "SELECT position, event_id, stream_id, subject_id, topic, version FROM events ORDER BY 1"
    ).fetchall()
    assert [astuple(event) for event in recorded.events] == rows[1:]
    assert [event.topic for event in recorded.events] == ["marks.opened", "marks.recorded"]
    assert (recorded.first_position, recorded.count, recorded.position, recorded.repeated) == (2, 2, 3, False)
    assert owner.execute("SELECT max(recorded_at) FROM events").fetchone() == (recorded.recorded_at,)


async def test_waiting_commands_share_one_transaction(
    executor: CommandExecutor, owner: psycopg.Connection[Row]
) -> None:
    answers = await asyncio.gather(*(executor.execute(envelope(Enrol())) for _ in range(20)))
    assert sorted(answer.position for answer in answers) == list(range(1, 21))
    assert owner.execute("SELECT count(DISTINCT xmin::text) FROM events").fetchone() == (1,)


async def test_many_waiting_commands_alternate_in_two_halves(
    executor: CommandExecutor, owner: psycopg.Connection[Row]
) -> None:
    answers = await asyncio.gather(*(executor.execute(envelope(Enrol())) for _ in range(64)))
    assert sorted(answer.position for answer in answers) == list(range(1, 65))
    sizes = owner.execute("SELECT count(*) FROM events GROUP BY xmin::text ORDER BY 1").fetchall()
    assert sizes == [(32,), (32,)]


async def test_batch_is_bounded(make_executor: MakeExecutor, owner: psycopg.Connection[Row]) -> None:
    executor = await make_executor(batch=5)
    await asyncio.gather(*(executor.execute(envelope(Enrol())) for _ in range(20)))
    assert owner.execute("SELECT count(DISTINCT xmin::text) FROM events").fetchone() == (4,)


async def test_refusal_fails_alone(executor: CommandExecutor, owner: psycopg.Connection[Row]) -> None:
    one, stranger, two = new_id(), new_id(), new_id()
    commands = (Enrol(one), Mark(stranger), Enrol(two))
    first, refused, second = await asyncio.gather(
        *(executor.execute(envelope(command)) for command in commands), return_exceptions=True
    )
    assert isinstance(refused, Refused)
    assert [violation.code for violation in refused.violations] == ["not_enrolled"]
    assert not isinstance(first, BaseException)
    assert not isinstance(second, BaseException)
    assert _count(owner, "events") == 2


async def test_refused_command_leaves_no_event_no_key_and_no_idempotency_row(
    executor: CommandExecutor, owner: psycopg.Connection[Row], hasher: Hasher
) -> None:
    with pytest.raises(Refused):
        await executor.execute(envelope(Mark(new_id()), hasher=hasher, key="k"))
    assert [_count(owner, table) for table in ("events", "commands", "data_keys", "snapshots")] == [0, 0, 0, 0]


async def test_second_of_two_commands_on_a_student_sees_what_the_first_did(
    executor: CommandExecutor, owner: psycopg.Connection[Row]
) -> None:
    student = new_id()
    await executor.execute(envelope(Enrol(student)))
    first, second = await asyncio.gather(
        executor.execute(envelope(Mark(student, at_most=1))),
        executor.execute(envelope(Mark(student, at_most=1))),
        return_exceptions=True,
    )
    assert not isinstance(first, BaseException)
    assert isinstance(second, Refused)
    assert _count(owner, "events") == 3


async def test_command_refused_for_one_before_it_in_the_batch_does_not_stop_the_next(
    executor: CommandExecutor, owner: psycopg.Connection[Row]
) -> None:
    student = new_id()
    outcomes = await asyncio.gather(
        executor.execute(envelope(Mark(student))),  # not enrolled yet
        executor.execute(envelope(Enrol(student))),
        executor.execute(envelope(Enrol(student))),  # again
        executor.execute(envelope(Mark(student))),
        return_exceptions=True,
    )
    assert [isinstance(outcome, Refused) for outcome in outcomes] == [True, False, True, False]
    assert owner.execute("SELECT topic, version FROM events ORDER BY position").fetchall() == [
        ("student.enrolled", 1),
        ("marks.opened", 1),
        ("marks.recorded", 2),
    ]


async def test_same_key_at_once_is_recorded_once_and_answered_alike(
    executor: CommandExecutor, owner: psycopg.Connection[Row], hasher: Hasher
) -> None:
    student = new_id()
    await executor.execute(envelope(Enrol(student)))
    answers = await asyncio.gather(
        *(executor.execute(envelope(Mark(student), hasher=hasher, key="k")) for _ in range(5)),
        executor.execute(envelope(Mark(student))),
    )
    assert all(answer == answers[0] for answer in answers[:5])
    assert [answer.repeated for answer in answers[:5]] == [False, True, True, True, True]
    assert answers[5].first_position not in range(answers[0].first_position, answers[0].position + 1)
    assert (_count(owner, "events"), _count(owner, "commands")) == (4, 1)


async def test_same_key_later_and_from_another_process_gets_the_same_answer(
    make_executor: MakeExecutor, owner: psycopg.Connection[Row], hasher: Hasher
) -> None:
    student = new_id()
    one, two = await make_executor(), await make_executor()
    first = await one.execute(envelope(Enrol(student), hasher=hasher, key="k"))
    await one.execute(envelope(Mark(student)))
    again = await two.execute(envelope(Enrol(student), hasher=hasher, key="k"))
    assert again == first
    assert (again.repeated, _count(owner, "events")) == (True, 3)


@pytest.mark.parametrize("at_once", [True, False])
async def test_same_key_with_another_body_is_refused(
    executor: CommandExecutor, owner: psycopg.Connection[Row], hasher: Hasher, *, at_once: bool
) -> None:
    first = executor.submit(envelope(Enrol(), hasher=hasher, key="k", body=b"one"))
    if not at_once:
        await first
    with pytest.raises(KeyReused):
        await executor.execute(envelope(Enrol(), hasher=hasher, key="k", body=b"another"))
    await first
    assert _count(owner, "events") == 1


async def test_repetition_in_a_batch_does_not_hold_up_the_others(
    executor: CommandExecutor, owner: psycopg.Connection[Row], hasher: Hasher
) -> None:
    student, other = new_id(), new_id()
    first = await executor.execute(envelope(Enrol(student), hasher=hasher, key="k"))
    again, new, keyed = await asyncio.gather(
        executor.execute(envelope(Enrol(student), hasher=hasher, key="k")),
        executor.execute(envelope(Enrol(other))),
        executor.execute(envelope(Mark(student), hasher=hasher, key="k2")),
    )
    assert (again, again.repeated) == (first, True)
    assert {*range(new.first_position, new.position + 1), *range(keyed.first_position, keyed.position + 1)} == {2, 3, 4}
    assert _count(owner, "events") == 4


async def test_key_of_a_refused_command_may_be_used_again(executor: CommandExecutor, hasher: Hasher) -> None:
    student = new_id()
    with pytest.raises(Refused):
        await executor.execute(envelope(Mark(student), hasher=hasher, key="k"))
    await executor.execute(envelope(Enrol(student)))
    assert not (await executor.execute(envelope(Mark(student), hasher=hasher, key="k"))).repeated


async def test_recorded_commands_are_looked_up_by_their_keys(
    executor: CommandExecutor, ledger_db: Database, hasher: Hasher
) -> None:
    recorded = await executor.execute(envelope(Enrol(), hasher=hasher, key="known", body=b"body"))
    known, unknown = hasher.command(CLIENT, "known"), hasher.command(CLIENT, "unknown")
    async with await ledger_db.connect_async("writer") as connection:
        found = await select_recorded(connection, ledger_db, [known, unknown])
    assert found == {known: (hasher.request(b"body"), recorded)}


async def test_event_that_cannot_be_stored_fails_alone(
    executor: CommandExecutor, owner: psycopg.Connection[Row]
) -> None:
    one, two = new_id(), new_id()
    await asyncio.gather(*(executor.execute(envelope(Enrol(student))) for student in (one, two)))
    outcomes = await asyncio.gather(
        executor.execute(envelope(Mark(one))),
        executor.execute(envelope(Mark(one, changes={"comment": "ъ" * 40_000}))),
        executor.execute(envelope(Mark(two, changes={"value": 5}))),
        executor.execute(envelope(Mark(two), office="o" * 3_000)),
        executor.execute(envelope(Mark(two))),
        executor.execute(envelope(Mark(one))),
        return_exceptions=True,
    )
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "Recorded", "InvalidInput", "InvalidInput", "InvalidInput", "Recorded", "Recorded",
    ]  # fmt: skip
    rows = owner.execute("SELECT version FROM events WHERE topic = 'marks.recorded' ORDER BY stream_id, 1").fetchall()
    assert sorted(version for (version,) in rows) == [2, 2, 3]


def _void_of_a_mark_that_is_not_there(student: UUID) -> Scripted:
    """A fault of the rules: the event cannot be applied to its lane, after another one of the command was."""

    def decide(lanes: Lanes) -> Sequence[Proposal]:
        ref = marks_lane(student, YEAR)
        void = {
            "mark_id": new_id(),
            "course_id": new_id(),
            "old_value": "5",
            "reason": "fault",
            "voided_on": TODAY,
            "permit_id": None,
        }
        return [*Mark(student).decide(lanes, CONTEXT), Proposal(ref, MarkVoided, void, new_id())]

    return Scripted(decide)


@pytest.mark.parametrize("fault", ["a field too many", "nothing to apply it to"])
async def test_proposal_that_cannot_be_applied_fails_alone_and_leaves_no_trace_in_memory(
    executor: CommandExecutor, owner: psycopg.Connection[Row], fault: str
) -> None:
    student = new_id()
    await executor.execute(envelope(Enrol(student)))
    faulty = Mark(student, changes={"unknown": 1}) if "field" in fault else _void_of_a_mark_that_is_not_there(student)
    broken, recorded = await asyncio.gather(
        executor.execute(envelope(faulty)),
        executor.execute(envelope(Mark(student, at_most=0))),
        return_exceptions=True,
    )
    assert isinstance(broken, InvalidInput if "field" in fault else KeyError)
    assert not isinstance(recorded, BaseException)
    assert _count(owner, "events") == 3


async def test_decision_that_crashes_fails_alone(executor: CommandExecutor, owner: psycopg.Connection[Row]) -> None:
    def crash(lanes: Lanes) -> Sequence[Proposal]:
        raise ZeroDivisionError

    crashed, recorded = await asyncio.gather(
        executor.execute(envelope(Scripted(crash))), executor.execute(envelope(Enrol())), return_exceptions=True
    )
    assert isinstance(crashed, ZeroDivisionError)
    assert not isinstance(recorded, BaseException)
    assert _count(owner, "events") == 1


async def test_decision_that_raises_what_a_future_cannot_hold_fails_alone(executor: CommandExecutor) -> None:
    crashed, recorded = await asyncio.wait_for(
        asyncio.gather(
            executor.execute(envelope(Scripted(lambda _: next(iter(()))))),
            executor.execute(envelope(Enrol())),
            return_exceptions=True,
        ),
        60,
    )
    assert isinstance(crashed, RuntimeError)
    assert not isinstance(recorded, BaseException)
    await executor.execute(envelope(Enrol()))


async def test_batch_that_cannot_be_sent_is_answered_and_the_next_is_recorded(executor: CommandExecutor) -> None:
    faulty = replace(envelope(Enrol()), idempotency=Idempotency(b"k", "no id", b"r"))  # type: ignore[arg-type]  # the fault under test
    with pytest.raises(AttributeError):
        await asyncio.wait_for(executor.execute(faulty), 60)
    await asyncio.wait_for(executor.execute(envelope(Enrol())), 60)


async def test_command_that_is_accepted_without_events_is_a_fault(executor: CommandExecutor) -> None:
    with pytest.raises(RuntimeError, match="without events"):
        await executor.execute(envelope(Scripted(lambda _: [])))


async def test_full_queue_says_busy_and_takes_again_later(make_executor: MakeExecutor) -> None:
    executor = await make_executor(queue=2)
    futures = [executor.submit(envelope(Enrol())) for _ in range(2)]
    assert executor.waiting == 2
    with pytest.raises(Busy):
        executor.submit(envelope(Enrol()))
    await asyncio.gather(*futures)
    await executor.execute(envelope(Enrol()))


async def test_stop_finishes_what_waits_and_takes_nothing_more(
    make_executor: MakeExecutor, owner: psycopg.Connection[Row]
) -> None:
    executor = await make_executor(batch=3)
    futures = [executor.submit(envelope(Enrol())) for _ in range(10)]
    stopping = asyncio.create_task(executor.stop())
    await asyncio.gather(*futures)
    await stopping
    assert _count(owner, "events") == 10
    with pytest.raises(StoreUnavailable):
        executor.submit(envelope(Enrol()))


async def test_executor_that_has_not_started_takes_nothing(make_executor: MakeExecutor) -> None:
    executor = await make_executor()
    await executor.stop()
    await executor.stop()
    with pytest.raises(StoreUnavailable):
        await executor.execute(envelope(Enrol()))


async def test_caller_who_gave_up_does_not_hinder_the_others(
    executor: CommandExecutor, owner: psycopg.Connection[Row]
) -> None:
    gone, stays = executor.submit(envelope(Enrol())), executor.submit(envelope(Enrol()))
    gone.cancel()
    await stays
    assert _count(owner, "events") == 2


async def test_lane_of_another_kind_is_not_taken_for_the_wanted_one(executor: CommandExecutor) -> None:
    student = new_id()
    await executor.execute(envelope(Enrol(student)))
    await executor.execute(envelope(Mark(student)))
    seen: list[object] = []

    def look(lanes: Lanes) -> Sequence[Proposal]:
        seen.append(lanes.get(LaneRef(student, student, StudentMarks)))
        raise InvalidInput("looked")

    with pytest.raises(InvalidInput, match="looked"):
        await executor.execute(envelope(Scripted(look)))
    assert seen[-1] is None


async def test_refusal_on_record_is_recorded_answered_as_refusal_and_not_what_its_key_stands_for(
    executor: CommandExecutor, owner: psycopg.Connection[Row], hasher: Hasher
) -> None:
    actor = new_id()
    refusing = [True]

    def decide(_: Lanes) -> Sequence[Proposal]:
        values = {"login": None, "office": "", "reason": "r", "channel": "api", "times": 1}
        proposals = [Proposal(access_lane(new_id(), actor), AccessTurnedAway, values, new_id())]
        if refusing:
            raise RefusedOnRecord(Forbidden("No."), proposals)
        return proposals

    def keyed() -> Envelope:
        return envelope(Scripted(decide), hasher=hasher, key="k")

    first, refusal, last = await asyncio.gather(
        executor.execute(envelope(Enrol())),
        executor.execute(keyed()),
        executor.execute(envelope(Enrol())),
        return_exceptions=True,
    )
    assert isinstance(refusal, Forbidden)
    assert not isinstance(first, BaseException)
    assert not isinstance(last, BaseException)
    query = "SELECT event_id, position FROM events WHERE topic = 'student.enrolled' ORDER BY position"
    assert owner.execute(query).fetchall() == sorted((one.events[0].event_id, one.position) for one in (first, last))
    assert (_count(owner, "events"), _count(owner, "commands")) == (3, 0)
    refusing.clear()
    accepted = await executor.execute(keyed())
    assert (accepted.position, accepted.repeated, _count(owner, "commands")) == (4, False, 1)
    refusing.append(True)
    assert (await executor.execute(keyed())).repeated, "What was recorded under the key is its answer."
    assert _count(owner, "events") == 4


async def test_decision_that_cannot_say_what_it_cites_leaves_nothing(
    executor: CommandExecutor, owner: psycopg.Connection[Row]
) -> None:
    class Uncertain(Enrol):
        def cites(self, lanes: Lanes, context: Context) -> str | None:
            del lanes, context
            raise InvalidInput("Nobody knows which local act is in force.")

    with pytest.raises(InvalidInput):
        await executor.execute(envelope(Uncertain()))
    assert _count(owner, "events") == 0


async def test_no_two_events_are_sealed_with_one_nonce(
    executor: CommandExecutor, owner: psycopg.Connection[Row]
) -> None:
    """Under one key that would give both away: AES-GCM allows each nonce once."""
    student = new_id()
    broken = Mark(student, changes={"comment": "я" * 60_000})
    await executor.execute(envelope(Enrol(student)))
    futures = [executor.submit(envelope(broken if number % 9 == 1 else Mark(student))) for number in range(90)]
    outcomes = await asyncio.gather(*futures, return_exceptions=True)
    assert sum(isinstance(outcome, InvalidInput) for outcome in outcomes) == 10
    rows = owner.execute("SELECT count(*), count(DISTINCT substring(state FROM 1 FOR 12)) FROM events").fetchone()
    assert rows == (82, 82)
