"""The checker of histories: it passes what can be true, and finds every kind of lie that is planted."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.errors import HistoryAlarm, OutcomeUnknown, StoreUnavailable
from ledger.ids import new_id
from ledger.store.commands import Recorded, RecordedEvent
from tests.support.history import Call, History, Logged, Outcome, Sighting, Told, contradictions, unaccounted

OWN_CHECKS = re.compile(r"suppress_health_check=(\[[^\]]*\])")

NOON = datetime(2025, 10, 15, 12, tzinfo=UTC)
Log = list[Logged]


def told_once(seed: int, commands: int = 40) -> tuple[History, Log]:
    """Returns what a faultless ledger leaves behind: clients overlap, lose answers, try again, and give up."""
    dice = random.Random(seed)  # noqa: S311 - a history, not a secret
    log: Log = []
    calls: list[Call] = []
    streams: dict[int, int] = {}
    now = 0
    for number in range(commands):
        key = f"key-{number}"
        now += dice.randrange(3)
        begun, ended = now, now + 1 + dice.randrange(40)
        recorded_at = NOON + timedelta(seconds=ended)
        events: Log = []
        if dice.random() < 0.9:
            first = len(log) + 1
            for _ in range(1 + dice.randrange(3)):
                stream = dice.randrange(5)
                streams[stream] = streams.get(stream, 0) + 1
                recorded_at = max(recorded_at, log[-1].recorded_at if log else recorded_at)
                events.append(
                    Logged(
                        first + len(events),
                        UUID(int=dice.getrandbits(128)),
                        UUID(int=stream),
                        streams[stream],
                        recorded_at,
                        key,
                    )
                )
        log.extend(replace(event, recorded_at=recorded_at) for event in events)
        first_call = Call("client", key, begun, ended, Outcome.NOT_RECORDED)
        if events:
            told = Told(events[0].position, tuple(event.event_id for event in events), recorded_at)
            # The commit lies between begun and ended: whoever asks later than `now` may come after it only.
            now = ended if dice.random() < 0.5 else now
            first_call = replace(first_call, ended=max(ended, now), outcome=Outcome.ACKNOWLEDGED, told=told)
            if dice.random() < 0.4:
                again = replace(told, repeated=True)
                if dice.random() < 0.5:
                    first_call = replace(first_call, outcome=Outcome.UNKNOWN, told=None)
                calls.append(Call("client", key, ended + 1, ended + 9, Outcome.ACKNOWLEDGED, again))
        calls.append(first_call)
    history = History(calls, [Sighting("reader", event.position, event.event_id) for event in log[::7]])
    return history, log


@given(st.integers(0, 2**32))
def test_what_a_faultless_ledger_leaves_behind_passes(seed: int) -> None:
    assert contradictions(*told_once(seed)) == []


def test_example_that_a_busy_machine_makes_slowly_is_no_lie() -> None:
    assert settings().deadline is None
    assert HealthCheck.too_slow in settings().suppress_health_check
    told = [text for file in Path(__file__).parents[1].rglob("*.py") for text in OWN_CHECKS.findall(file.read_text())]
    assert told
    assert [text for text in told if "HealthCheck.too_slow" not in text] == [], "An own list takes it back."


def an_acknowledged(history: History, *, repeated: bool = False) -> tuple[int, Call, Told]:
    for index, call in enumerate(history.calls):
        if call.told is not None and call.told.repeated is repeated:
            return index, call, call.told
    pytest.fail("The history has no such call.")


def an_event_is_dropped(history: History, log: Log) -> None:
    del history
    del log[len(log) // 2]


def the_last_event_is_dropped(history: History, log: Log) -> None:
    last = log.pop()
    history.calls.append(
        Call("late", "late", 10**6, 10**6 + 1, Outcome.ACKNOWLEDGED, Told(last.position, (last.event_id,), NOON))
    )


def what_was_seen_is_dropped(history: History, log: Log) -> None:
    history.sightings.append(Sighting("reader", len(log) + 1, new_id()))


def an_event_is_stored_twice(history: History, log: Log) -> None:
    del history
    log.append(replace(log[0], position=len(log) + 1, version=99))


def an_event_is_replaced(history: History, log: Log) -> None:
    _, _, told = an_acknowledged(history)
    log[told.first_position - 1] = replace(log[told.first_position - 1], event_id=new_id())


def a_version_is_skipped(history: History, log: Log) -> None:
    del history
    log[-1] = replace(log[-1], version=log[-1].version + 1)


def a_time_goes_back(history: History, log: Log) -> None:
    del history
    log[-1] = replace(log[-1], recorded_at=NOON - timedelta(days=1))


def a_time_was_told_otherwise(history: History, log: Log) -> None:
    del log
    index, call, told = an_acknowledged(history)
    history.calls[index] = replace(call, told=replace(told, recorded_at=NOON - timedelta(days=1)))


def a_command_is_recorded_twice(history: History, log: Log) -> None:
    del history
    log.append(replace(log[0], position=len(log) + 1, event_id=new_id(), stream_id=new_id(), version=1))
    log[-1] = replace(log[-1], recorded_at=log[-2].recorded_at)


def a_key_is_answered_otherwise(history: History, log: Log) -> None:
    del log
    _, call, told = an_acknowledged(history)
    other = replace(told, first_position=told.first_position + 1, repeated=True)
    history.calls.append(replace(call, begun=call.ended + 1, ended=call.ended + 2, told=other))


def a_part_of_a_command_is_told(history: History, log: Log) -> None:
    del log
    for index, call in enumerate(history.calls):
        if call.told is not None and len(call.told.event_ids) > 1:
            history.calls[index] = replace(call, told=replace(call.told, event_ids=call.told.event_ids[:1]))
            return
    pytest.fail("No command has two events.")


def two_keys_share_an_event(history: History, log: Log) -> None:
    del log
    _, call, _ = an_acknowledged(history)
    history.calls.append(replace(call, key="other"))


def what_was_denied_is_there(history: History, log: Log) -> None:
    history.calls.append(Call("client", "denied", 10**6, 10**6 + 1, Outcome.NOT_RECORDED))
    log.append(Logged(len(log) + 1, new_id(), new_id(), 1, log[-1].recorded_at, "denied"))


def what_was_denied_is_repeated(history: History, log: Log) -> None:
    del log
    for call in list(history.calls):
        if call.told is not None and call.told.repeated:
            others = [other for other in history.calls if other.key == call.key and other is not call]
            for other in others:
                index = history.calls.index(other)
                history.calls[index] = replace(other, outcome=Outcome.NOT_RECORDED, told=None)
            return
    pytest.fail("No key was repeated.")


def a_later_command_stands_before_an_earlier(history: History, log: Log) -> None:
    at = log[-1].recorded_at
    for offset, key in enumerate(("second", "first")):
        position, event_id = len(log) + 1, new_id()
        log.append(Logged(position, event_id, new_id(), 1, at, key))
        begun = 10**6 - 10 * offset
        history.calls.append(
            Call("client", key, begun, begun + 1, Outcome.ACKNOWLEDGED, Told(position, (event_id,), at))
        )


PLANTED: list[tuple[Callable[[History, Log], None], str]] = [
    (an_event_is_dropped, "gap:"),
    (the_last_event_is_dropped, "lost:"),
    (what_was_seen_is_dropped, "lost:"),
    (an_event_is_stored_twice, "duplicate:"),
    (an_event_is_replaced, "lost:"),
    (a_version_is_skipped, "stream:"),
    (a_time_goes_back, "time:"),
    (a_time_was_told_otherwise, "time:"),
    (a_command_is_recorded_twice, "duplicate:"),
    (a_key_is_answered_otherwise, "answers:"),
    (a_part_of_a_command_is_told, "answers:"),
    (two_keys_share_an_event, "shared:"),
    (what_was_denied_is_there, "denied:"),
    (what_was_denied_is_repeated, "denied:"),
    (a_later_command_stands_before_an_earlier, "order:"),
]


@pytest.mark.parametrize(("plant", "kind"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_planted_lie_is_found(plant: Callable[[History, Log], None], kind: str, seed: int) -> None:
    history, log = told_once(seed)
    plant(history, log)
    assert any(found.startswith(kind) for found in contradictions(history, log))


@given(st.integers(0, 2**32))
def test_key_without_an_answer_and_event_that_nobody_was_told_of_are_found(seed: int) -> None:
    history, log = told_once(seed)
    answered = {call.key for call in history.calls if call.told is not None}
    given_up = {call.key for call in history.calls} - answered
    assert unaccounted(history, log) == [
        f"unanswered: key {key}" for key in dict.fromkeys(call.key for call in history.calls) if key in given_up
    ]
    twice = Logged(len(log) + 1, new_id(), new_id(), 1, log[-1].recorded_at, "key-0 again, under another id")
    assert unaccounted(history, [*log, twice])[-1] == f"untold: position {twice.position}"
    assert contradictions(history, [*log, twice]) == []  # a double under another id is for this check alone
    assert unaccounted(History(), log, after=len(log)) == []


async def test_call_is_noted_as_the_client_saw_it() -> None:
    event = RecordedEvent(7, new_id(), new_id(), new_id(), "marks.recorded", 2)
    answer = Recorded(7, 1, NOON, (event,))
    history = History()

    async def acknowledged() -> Recorded:
        return answer

    async def fails(error: BaseException) -> Recorded:
        raise error

    assert await history.asks("a", "1", acknowledged) is answer
    for error in (StoreUnavailable("no"), OutcomeUnknown("who knows"), HistoryAlarm("stop"), ConnectionError()):
        with pytest.raises(type(error)):
            await history.asks("a", "1", lambda error=error: fails(error))  # type: ignore[misc]  # bound to this turn
    assert [call.outcome for call in history.calls] == [
        Outcome.ACKNOWLEDGED, Outcome.NOT_RECORDED, *[Outcome.UNKNOWN] * 3,
    ]  # fmt: skip
    assert history.calls[0].told == Told(7, (event.event_id,), NOON)
    assert all(call.begun <= call.ended for call in history.calls)
    merged = History()
    merged.extend(history)
    assert (merged.count(Outcome.UNKNOWN), len(merged.calls)) == (3, 5)
