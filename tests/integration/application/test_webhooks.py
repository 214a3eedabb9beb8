"""Webhooks: every event in order, signed, until it is taken; and what becomes of those who do not take it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import pytest_asyncio

from ledger.application.readiness import read_readiness
from ledger.application.record.staff import LinkLogin, RecordMandate, WithdrawMandate
from ledger.application.record.webhooks import RegisterWebhook, RemoveWebhook, ResumeWebhook, RotateWebhookSecret
from ledger.application.standing import HistoryCollector, read_standing
from ledger.application.webhooks import dispatcher as dispatching
from ledger.application.webhooks import follower, progress
from ledger.application.webhooks.dispatcher import Dispatcher
from ledger.application.webhooks.registered import Registry
from ledger.application.webhooks.sending import Sender
from ledger.application.webhooks.shown import list_webhooks, look_at_webhooks, read_webhook_secret
from ledger.errors import Forbidden, NotFound, Refused
from ledger.ids import new_id
from ledger.policy.offices import Actor, Office
from ledger.store.keyring import Keyring
from ledger.store.tail import Tail
from tests.support.desk import DIRECTOR, Desk, reads
from tests.support.proxy import Proxy
from tests.support.receiver import TAKEN, Receiver, receiving
from tests.support.waiting import until
from tests.support.world import TODAY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import psycopg

    from ledger.application.webhooks.shown import WebhookShown
    from ledger.application.webhooks.standing import WebhooksStanding
    from ledger.store.database import Database, Row

LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(progress, "LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(dispatching, "FOLLOWER_PAUSE_S", 0.05)


@asynccontextmanager
async def dispatching_for(
    desk: Desk,
    networks: Any = LOOPBACK,  # noqa: ANN401 - networks
    database: Database | None = None,
) -> AsyncIterator[None]:
    """Runs a dispatcher beside the block."""
    base = desk.base
    metrics = base.telemetry.metrics.webhooks
    today = desk.ledger.today
    one = Dispatcher(base.id, database or base.database, base.mapper, base.keks, networks, metrics, today)
    task = asyncio.create_task(one.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest_asyncio.fixture
async def dispatcher(desk: Desk) -> AsyncIterator[None]:
    async with dispatching_for(desk):
        yield


async def registers(desk: Desk, receiver: Receiver, **more: Any) -> UUID:  # noqa: ANN401 - the command's fields
    """Registers a webhook and gives the receiver its secret."""
    recorded = await desk.does(RegisterWebhook(school=desk.school, url=receiver.url, **more))
    webhook_id = recorded.events[0].stream_id
    receiver.secret = (await read_webhook_secret(desk.ledger, reads(), webhook_id)).secret
    return webhook_id


async def state_of(desk: Desk) -> WebhookShown:
    (shown,) = (await look_at_webhooks(desk.ledger)).items
    return shown


async def caught_up(desk: Desk) -> None:
    async def nothing_left() -> bool:
        return (await state_of(desk)).lag == 0

    await until(nothing_left)


def last(owner: psycopg.Connection[Row]) -> int:
    row = owner.execute("SELECT max(position) FROM events").fetchone()
    assert row is not None
    return int(row[0])


async def test_every_event_is_told_once_and_in_order(
    desk: Desk, receiver: Receiver, dispatcher: None, owner: psycopg.Connection[Row]
) -> None:
    await registers(desk, receiver, after=0)
    await desk.marks(*await desk.enrols(3))
    await caught_up(desk)
    assert receiver.positions == list(range(1, last(owner) + 1))
    assert len(receiver.messages) == len(receiver.kept)
    mark = next(event for event in receiver.kept if event["type"] == "marks.recorded")
    assert mark["source"] == f"urn:uuid:{desk.school}"
    assert not {"data", "payload"} & mark.keys()


async def test_new_webhook_begins_with_what_comes_and_hears_only_its_topics(
    desk: Desk, receiver: Receiver, dispatcher: None
) -> None:
    students = await desk.enrols(2)
    await registers(desk, receiver, topics=("marks.recorded", "webhook."))
    await desk.marks(*students)
    await caught_up(desk)
    assert [event["type"] for event in receiver.kept] == ["marks.recorded"] * 2


async def test_event_that_is_not_taken_is_sent_again_and_not_overtaken(
    desk: Desk, receiver: Receiver, dispatcher: None
) -> None:
    refusals = iter([(500, {}, b""), (429, {"Retry-After": "0"}, b""), (302, {"Location": receiver.url}, b"")])
    receiver.answer = lambda _: next(refusals, TAKEN)
    await registers(desk, receiver)
    students = await desk.enrols(2)
    await caught_up(desk)
    assert receiver.positions == sorted(receiver.positions)
    assert len({event["id"] for event in receiver.messages[:4]}) == 1
    assert len(receiver.messages) == len(receiver.kept) + 3
    assert len(receiver.kept) == 2 * len(students)
    state = await state_of(desk)
    assert (state.state, state.failures, state.failure) == ("working", 0, None)


async def test_failing_webhook_says_so_and_holds_up_nobody_else(
    desk: Desk, receiver: Receiver, dispatcher: None
) -> None:
    with receiving() as other:
        other.answer = lambda _: (503, {}, b"")
        failing = await registers(desk, other)
        working = await registers(desk, receiver)
        await desk.enrols(1)
        await until(lambda: len(receiver.kept) == 2 and len(other.messages) > 3)
        shown = {one.webhook_id: one for one in (await list_webhooks(desk.ledger, reads())).items}
    assert (shown[working].state, shown[working].lag) == ("working", 0)
    assert (shown[failing].state, shown[failing].failure) == ("failing", "HTTP 503")
    assert shown[failing].failures > 1
    assert shown[failing].failing_since is not None
    assert shown[failing].next_attempt_at is not None


async def test_webhook_is_given_up_visibly_and_goes_on_where_it_stopped(
    desk: Desk, receiver: Receiver, dispatcher: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "GIVE_UP_AFTER", timedelta(0))
    webhook = await registers(desk, receiver)
    await desk.enrols(2)
    await caught_up(desk)
    receiver.answer = lambda _: (500, {}, b"")
    await desk.enrols(2)

    async def given_up() -> bool:
        return (await state_of(desk)).state == "given_up"

    await until(given_up)
    assert (await state_of(desk)).failure == "HTTP 500"
    assert (await state_of(desk)).next_attempt_at is None
    (part,) = [part for part in await read_readiness(desk.ledger) if part.name == f"webhook {webhook}"]
    assert part.ready
    assert part.reason.startswith("Given up")
    assert part.reason.endswith("HTTP 500")
    sent = len(receiver.messages)
    receiver.answer = lambda _: TAKEN
    await desk.enrols(1)
    assert (await state_of(desk)).state == "given_up"
    assert len(receiver.messages) == sent
    await desk.does(ResumeWebhook(school=desk.school, webhook_id=webhook, reason="Исправлено"))
    await caught_up(desk)
    assert receiver.positions == list(range(receiver.positions[0], (await state_of(desk)).position + 1))


async def test_endpoint_that_is_gone_is_not_asked_again(desk: Desk, receiver: Receiver, dispatcher: None) -> None:
    receiver.answer = lambda _: (410, {}, b"")
    await registers(desk, receiver)
    await desk.enrols(1)

    async def given_up() -> bool:
        return (await state_of(desk)).state == "given_up"

    await until(given_up)
    assert len(receiver.messages) == 1


async def test_metrics_count_messages_and_say_how_far_the_last_webhook_is_behind(
    desk: Desk, receiver: Receiver, owner: psycopg.Connection[Row]
) -> None:
    def value(name: str, **labels: str) -> float | None:
        return desk.base.telemetry.metrics.registry.get_sample_value(name, labels)

    receiver.answer = lambda _: TAKEN if receiver.messages[1:] else (500, {}, b"")
    await registers(desk, receiver)
    async with dispatching_for(desk):
        await desk.enrols(2)
        await until(lambda: len(receiver.kept) > 0)
        await caught_up(desk)
        assert value("ledger_dispatcher_leads") == 1
    assert value("ledger_dispatcher_leads") == 0
    assert value("ledger_webhook_messages_total", outcome="failed") == 1
    assert value("ledger_webhook_messages_total", outcome="taken") == len(receiver.kept) > 0
    assert value("ledger_webhook_message_seconds_count") == len(receiver.messages)
    assert _standing(desk) == (1, 0, 0, 0, 0)
    told = last(owner)
    await desk.enrols(1)
    waiting = _standing(desk)
    assert waiting[:4] == (1, 0, 0, last(owner) - told)
    assert waiting.lag_s > 0
    receiver.answer = lambda _: (410, {}, b"")
    async with dispatching_for(desk):
        await until(lambda: _standing(desk) == (0, 0, 1, 0, 0))
    shown = {
        (sample.name, *sample.labels.values()): sample.value
        for family in HistoryCollector(desk.base.database, desk.base.views).collect()
        for sample in family.samples
    }
    assert (shown["ledger_webhooks", "given_up"], shown["ledger_webhook_pending_events",]) == (1, 0)


def _standing(desk: Desk) -> WebhooksStanding:
    return read_standing(desk.base.database, desk.base.views).webhooks


async def test_rotated_secret_signs_beside_the_old_one_for_a_day(
    desk: Desk, receiver: Receiver, dispatcher: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = await registers(desk, receiver)
    await desk.does(RotateWebhookSecret(school=desk.school, webhook_id=webhook, reason="Замена"))

    async def signed_by_both() -> bool:  # what came at once may have gone out before the follower heard of it
        await desk.enrols(1)
        await caught_up(desk)
        return len(receiver.signatures[-1].split(" ")) == 2

    await until(signed_by_both)
    old, receiver.secret = receiver.secret, (await read_webhook_secret(desk.ledger, reads(), webhook)).secret
    assert old != receiver.secret
    await desk.enrols(1)
    await caught_up(desk)
    monkeypatch.setattr(follower, "BOTH_SECRETS_FOR", timedelta(0))
    await desk.enrols(1)
    await caught_up(desk)
    assert len(receiver.signatures[-1].split(" ")) == 1


async def test_secret_that_was_shown_outlives_a_follower_that_has_not_heard_of_it(
    desk: Desk, receiver: Receiver, owner: psycopg.Connection[Row]
) -> None:
    webhook_id = await registers(desk, receiver)

    async def rotates() -> str:
        await desk.does(RotateWebhookSecret(school=desk.school, webhook_id=webhook_id, reason="Проверка"))
        return (await read_webhook_secret(desk.ledger, reads(), webhook_id)).secret

    base, sender = desk.base, Sender(receiver.url, LOOPBACK)
    registry = Registry(base.id, base.database, base.mapper, Keyring(base.keks))

    async def loads_secrets() -> None:
        told = progress.Progress(base.database, pool)
        known = registry.webhooks[webhook_id]
        metrics = base.telemetry.metrics.webhooks
        await follower.Follower(known, "", told, base.keks, Tail(base.database), sender, metrics)._load_secrets()

    async with base.database.pool("projector", 1) as pool:
        await rotates()
        async with pool.connection() as connection:
            await registry.refresh(connection)
        shown = await rotates()
        await loads_secrets()
        assert (await read_webhook_secret(desk.ledger, reads(), webhook_id)).secret == shown
        async with pool.connection() as connection:
            await registry.refresh(connection)
        await loads_secrets()
    assert (await read_webhook_secret(desk.ledger, reads(), webhook_id)).secret == shown
    assert owner.execute("SELECT count(*) FROM webhook_secrets").fetchone() == (2,)  # and the one before


async def test_removed_webhook_hears_nothing_and_leaves_no_secret(
    desk: Desk, receiver: Receiver, dispatcher: None, owner: psycopg.Connection[Row]
) -> None:
    webhook = await registers(desk, receiver)
    await desk.does(RemoveWebhook(school=desk.school, webhook_id=webhook, reason="Договор закончился"))

    def forgotten() -> bool:
        return owner.execute("SELECT FROM webhooks UNION ALL SELECT FROM webhook_secrets").fetchone() is None

    await until(forgotten)
    await desk.enrols(1)
    assert (await look_at_webhooks(desk.ledger)).items == []
    with pytest.raises(NotFound):
        await read_webhook_secret(desk.ledger, reads(), webhook)
    with pytest.raises(Refused, match="was removed"):
        await desk.does(ResumeWebhook(school=desk.school, webhook_id=webhook, reason="Ещё раз"))
    assert [event["type"] for event in receiver.kept] in ([], ["webhook.removed"])


async def test_private_addresses_are_told_nothing_unless_the_settings_name_them(desk: Desk, receiver: Receiver) -> None:
    await registers(desk, receiver)
    await desk.enrols(1)
    async with dispatching_for(desk, ()):

        async def failing() -> bool:
            return (await state_of(desk)).failures > 0

        await until(failing)
    assert "LEDGER_WEBHOOK_NETWORKS" in str((await state_of(desk)).failure)
    assert receiver.messages == []


async def test_secret_stands_nowhere_in_clear(
    desk: Desk, receiver: Receiver, dispatcher: None, owner: psycopg.Connection[Row]
) -> None:
    await registers(desk, receiver)
    await caught_up(desk)
    stored = str(owner.execute("SELECT * FROM webhook_secrets").fetchall())
    assert receiver.secret.removeprefix("whsec_") not in stored
    assert len(receiver.secret) == len("whsec_") + 44


async def test_webhook_that_was_told_more_than_there_is_is_given_up(
    desk: Desk, receiver: Receiver, owner: psycopg.Connection[Row]
) -> None:
    await registers(desk, receiver, after=10**6)
    async with dispatching_for(desk):

        async def given_up() -> bool:
            return (await state_of(desk)).state == "given_up"

        await until(given_up)
    assert "restored" in str((await state_of(desk)).failure)


async def test_two_dispatchers_do_the_work_of_one(
    desk: Desk, receiver: Receiver, dispatcher: None, owner: psycopg.Connection[Row]
) -> None:
    async with dispatching_for(desk):
        await registers(desk, receiver, after=0)
        await desk.marks(*await desk.enrols(2))
        await caught_up(desk)
    assert len(receiver.messages) == len(receiver.kept) == last(owner)


async def test_database_that_goes_away_loses_and_doubles_nothing(
    desk: Desk, receiver: Receiver, owner: psycopg.Connection[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "FAULT_PAUSE_S", 0.05)
    monkeypatch.setattr(dispatching, "LOOK_S", 0.2)
    await registers(desk, receiver, after=0)
    async with Proxy(desk.base.database) as proxy, dispatching_for(desk, database=proxy.database):
        for cut in range(5):
            await desk.enrols(1)
            await until(lambda cut=cut: len(receiver.messages) > 3 * cut)  # type: ignore[misc]  # bound now
            proxy.cut()
        await proxy.refuse()
        await desk.enrols(1)
        await proxy.accept()
        await caught_up(desk)
    assert receiver.positions == list(range(1, last(owner) + 1))


@pytest.mark.parametrize(
    "url",
    ["http://school.example/", "https://user:secret@school.example/", "https:///x", "ftp://school.example/",
     "https://school.example/#part", "https://school.example:99999/", "https://школа.example/", "https://a b/",
     "http://10.0.0.1/", "//school.example", "https://school.example/" + "x" * 500],
)  # fmt: skip
async def test_urls_that_a_webhook_may_not_have_are_refused(desk: Desk, url: str) -> None:
    with pytest.raises(Refused) as refused:
        await desk.does(RegisterWebhook(school=desk.school, url=url))
    assert [violation.code for violation in refused.value.violations] == ["webhook_url"]
    assert "secret" not in str(refused.value)


async def test_who_may_do_what_with_webhooks(desk: Desk, receiver: Receiver) -> None:
    webhook = await registers(desk, receiver)
    auditor, teacher = Actor(new_id(), Office.AUDITOR), Actor(new_id(), Office.TEACHER)
    assert len((await list_webhooks(desk.ledger, reads(auditor))).items) == 1
    for refused in (
        list_webhooks(desk.ledger, reads(teacher)),
        read_webhook_secret(desk.ledger, reads(auditor), webhook),
        desk.does(RegisterWebhook(school=desk.school, url=receiver.url), auditor),
    ):
        with pytest.raises(Forbidden):
            await refused
    with pytest.raises(NotFound):
        await desk.does(RemoveWebhook(school=desk.school, webhook_id=new_id(), reason="Нет такого"), DIRECTOR)
    with pytest.raises(Refused, match="Say why"):
        await desk.does(RemoveWebhook(school=desk.school, webhook_id=webhook, reason=" "), DIRECTOR)


async def test_withdrawn_mandate_ends_what_the_webhooks_of_its_program_are_told(
    desk: Desk, receiver: Receiver, dispatcher: None
) -> None:
    person, login = new_id(), new_id()
    program = Actor(person, Office.SYSTEM, login=login)
    mandate = RecordMandate(
        school=desk.school,
        person_id=person,
        kind="system",
        document="Договор 1",
        scope="everything",
        starts_on=TODAY,
    )
    await desk.does(LinkLogin(school=desk.school, login_id=login, person_id=person, capacities=("external",)))
    first = (await desk.does(mandate)).events[-1].event_id
    register = RegisterWebhook(school=desk.school, url=receiver.url)
    webhook = (await desk.does(register, program)).events[0].stream_id
    receiver.secret = (await read_webhook_secret(desk.ledger, reads(program), webhook)).secret
    await desk.enrols(1)
    await caught_up(desk)
    withdrawal = WithdrawMandate(school=desk.school, person_id=person, mandate_id=first, reason="Договор расторгнут")
    withdrawn = (await desk.does(withdrawal)).position
    assert (await state_of(desk)).state == "suspended"
    await until(lambda: f"webhook {webhook}" not in {task.get_name() for task in asyncio.all_tasks()})
    told = list(receiver.positions)
    assert told[-1] <= withdrawn
    await desk.enrols(1)
    assert (await state_of(desk)).lag >= 2
    assert receiver.positions == told
    await desk.does(mandate)
    await caught_up(desk)
    assert receiver.positions == list(range(told[0], receiver.positions[-1] + 1)), "It goes on where it stood."
    assert receiver.positions[-1] > withdrawn + 2


async def test_program_has_its_own_webhooks_alone(desk: Desk, receiver: Receiver) -> None:
    """Whoever has a secret can tell its receiver whatever they like, in the ledger's name."""
    one, other = Actor(new_id(), Office.SYSTEM), Actor(new_id(), Office.SYSTEM)
    webhook = (await desk.does(RegisterWebhook(school=desk.school, url=receiver.url), one)).events[0].stream_id
    assert (await read_webhook_secret(desk.ledger, reads(one), webhook)).secret.startswith("whsec_")
    with pytest.raises(NotFound, match="no such webhook"):
        await read_webhook_secret(desk.ledger, reads(other), webhook)
    assert (await read_webhook_secret(desk.ledger, reads(), webhook)).webhook_id == webhook
    for kind in (RotateWebhookSecret, ResumeWebhook, RemoveWebhook):
        command = kind(school=desk.school, webhook_id=webhook, reason="Плановая замена")
        for unknown in (command, replace(command, webhook_id=new_id())):
            with pytest.raises(NotFound, match="no such webhook"):
                await desk.does(unknown, other)
        await desk.does(command, one)


async def test_history_with_webhooks_passes_the_audit(desk: Desk, receiver: Receiver) -> None:
    webhook = await registers(desk, receiver)
    await desk.does(RotateWebhookSecret(school=desk.school, webhook_id=webhook, reason="Замена"))
    await desk.catches_up()
    assert desk.audits().findings == []
