"""Real witnesses over HTTP: cosignatures are asked for, verified, kept and served; a quorum is not pretended."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import psycopg
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.responses import Response

from ledger.api.server import listen
from ledger.api.witness import Witness, create_witness
from ledger.application.cosigning import TRIES, Contradicted, Cosigning, Unwilling, WitnessAddress, read_witnesses
from ledger.application.log import read_checkpoint, read_receipt, wait_for_receipts
from ledger.application.readiness import read_readiness
from ledger.application.standing import read_standing
from ledger.bootstrap import open_ledger
from ledger.errors import Busy, InvalidInput, NotProven, SettingsError
from ledger.seal.checkpoint import open_checkpoint
from ledger.seal.merkle import root
from ledger.seal.note import COSIGNATURE, ED25519, SignerKey
from ledger.seal.proof import parse_receipt
from ledger.seal.witness import SIZE_TYPE, Known
from ledger.store.log_files import newest
from ledger.store.log_troubles import (
    ANCHOR,
    end_trouble,
    note_trouble,
    read_decisions,
    read_troubles,
    settle_trouble,
)
from ledger.store.sealer import Sealer
from ledger.store.witness_state import WitnessState
from tests.support.log import SIGNER, an_entry, begun, nodes_of
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ledger.seal.note import VerifierKey
    from ledger.store.log_troubles import Trouble
    from tests.support.desk import Desk

OPERATOR = UUID(int=0x0B)
OTHER = SignerKey(SIGNER.name, ED25519, b"\x0c" * 32)
ONE = SignerKey("witness.example/w1", COSIGNATURE, b"\x07" * 32)
TWO = SignerKey("witness.example/w2", COSIGNATURE, b"\x08" * 32)


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serves a witness on a free port beside the block."""
    with listen("127.0.0.1", 0) as listening:
        server = uvicorn.Server(uvicorn.Config(app, access_log=False, log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def a_witness(signer: SignerKey, folder: Path) -> Witness:
    return Witness(signer, {SIGNER.name: [SIGNER.verifier]}, WitnessState(folder / f"{signer.seed.hex()}.db"))


def seal(desk: Desk, folder: Path) -> None:
    Sealer(desk.base.database, [SIGNER], begun(folder / "anchor")).catch_up()


def sealed(desk: Desk) -> int:
    with desk.base.database.connect("reader") as connection:
        stored = newest(connection, desk.base.database)
    return stored.size if stored else 0


def claims(desk: Desk) -> list[Trouble]:
    with desk.base.database.connect("reader") as connection:
        return read_troubles(connection, desk.base.database)


def step(desk: Desk, cosigning: Cosigning) -> bool:
    with desk.base.database.connect("sealer") as connection, httpx.Client() as client:
        return cosigning.step(connection, client)


async def test_witness_vouches_for_each_new_checkpoint_once(desk: Desk, tmp_path: Path) -> None:
    with serving(create_witness(a_witness(ONE, tmp_path))) as url:
        cosigning = Cosigning(desk.base.database, WitnessAddress(url, ONE.verifier))
        assert not await asyncio.to_thread(step, desk, cosigning)
        for _ in range(3):
            await desk.enrols(2)
            seal(desk, tmp_path)
            assert await asyncio.to_thread(step, desk, cosigning)
            assert not await asyncio.to_thread(step, desk, cosigning)
            opened = open_checkpoint(await read_checkpoint(desk.ledger), SIGNER.verifier, [ONE.verifier], quorum=1)
            assert opened.witnesses.keys() == {ONE.verifier}
        again = Cosigning(desk.base.database, WitnessAddress(url, ONE.verifier))
        assert not await asyncio.to_thread(step, desk, again)


async def test_cosignature_that_was_lost_on_the_way_is_asked_for_again(desk: Desk, tmp_path: Path) -> None:
    witness = a_witness(ONE, tmp_path)
    seal(desk, tmp_path)
    with desk.base.database.connect("reader") as connection:
        stored = newest(connection, desk.base.database)
    assert stored is not None
    assert witness.state.replace(SIGNER.name, Known(), Known(stored.size, stored.root), stored.note)
    with serving(create_witness(witness)) as url:
        cosigning = Cosigning(desk.base.database, WitnessAddress(url, ONE.verifier))
        assert await asyncio.to_thread(step, desk, cosigning)  # told that the witness knows this size, it asks again
        assert not await asyncio.to_thread(step, desk, cosigning)
    assert open_checkpoint(await read_checkpoint(desk.ledger), SIGNER.verifier, [ONE.verifier], quorum=1)


async def test_what_a_witness_claims_without_proof_stops_nothing_and_is_shown_until_it_vouches(
    desk: Desk, tmp_path: Path
) -> None:
    """The witness has seen 499 events of the log, it says; nobody can tell from that who is right."""
    witness, address = a_witness(ONE, tmp_path), partial(WitnessAddress, key=ONE.verifier)
    seal(desk, tmp_path)
    entries = [an_entry(position) for position in range(1, 500)]
    assert witness.state.replace(SIGNER.name, Known(), Known(499, root(nodes_of(entries), 499)), b"note")
    with serving(create_witness(witness)) as url:
        cosigning = Cosigning(desk.base.database, address(url))
        with pytest.raises(Contradicted, match="it has vouched for 499 events; there are not so many"):
            await asyncio.to_thread(step, desk, cosigning)
        before = sealed(desk)
        await desk.enrols(1)
        seal(desk, tmp_path)  # a new start of the sealer as well: it goes on, and has forgotten nothing
        assert sealed(desk) > before
        with pytest.raises(Contradicted, match="499"):
            await asyncio.to_thread(step, desk, Cosigning(desk.base.database, address(url)))
    parts = {part.name: part for part in await read_readiness(desk.ledger)}
    assert parts["seal"].ready
    assert parts["witness witness.example/w1"].ready
    assert "499 events" in parts["witness witness.example/w1"].reason
    assert read_standing(desk.base.database, ()).troubles == (ONE.name,)
    honest = tmp_path / "honest"
    with serving(create_witness(a_witness(ONE, honest))) as url:
        assert await asyncio.to_thread(step, desk, Cosigning(desk.base.database, address(url)))
    assert claims(desk) == []
    assert not [part for part in await read_readiness(desk.ledger) if part.name.startswith("witness")]


async def test_witness_of_another_history_that_the_log_has_outgrown_is_told(desk: Desk, tmp_path: Path) -> None:
    witness = a_witness(ONE, tmp_path)
    seal(desk, tmp_path)
    assert witness.state.replace(SIGNER.name, Known(), Known(2, root(nodes_of([b"x", b"y"]), 2)), b"note")
    with serving(create_witness(witness)) as url:
        cosigning = Cosigning(desk.base.database, WitnessAddress(url, ONE.verifier))
        for _ in range(2):
            with pytest.raises(Contradicted, match="does not continue the 2 events"):
                await asyncio.to_thread(step, desk, cosigning)
    assert [claim.name for claim in claims(desk)] == [ONE.name]


async def test_database_set_back_under_a_running_cosigner_is_a_claim(desk: Desk, tmp_path: Path) -> None:
    """What it has verified itself it remembers: that the database holds less now is no passing failure."""
    seal(desk, tmp_path)
    with serving(create_witness(a_witness(ONE, tmp_path))) as url:
        cosigning = Cosigning(desk.base.database, WitnessAddress(url, ONE.verifier))
        first = sealed(desk)
        assert await asyncio.to_thread(step, desk, cosigning)
        await desk.enrols(1)
        seal(desk, tmp_path)
        assert await asyncio.to_thread(step, desk, cosigning)
        vouched = sealed(desk)
        with desk.base.database.connect("owner") as owner, owner.transaction():
            owner.execute("SET LOCAL session_replication_role = replica")
            owner.execute("DELETE FROM log_cosignatures WHERE size > %s", (first,))
            owner.execute("DELETE FROM log_checkpoints WHERE size > %s", (first,))
        with pytest.raises(Contradicted, match=f"vouched for {vouched} events; there are not so many"):
            await asyncio.to_thread(step, desk, cosigning)
        assert not await asyncio.to_thread(step, desk, cosigning)  # as after a start: there is nothing to ask for
        assert [claim.source for claim in claims(desk)] == [str(ONE.verifier)]
        with desk.base.database.connect("owner") as owner, owner.transaction():
            owner.execute("SET LOCAL session_replication_role = replica")
            owner.execute("DELETE FROM log_cosignatures")
        again = Cosigning(desk.base.database, WitnessAddress(url, ONE.verifier))
        with pytest.raises(Contradicted, match=f"vouched for {vouched} events; there are not so many"):
            await asyncio.to_thread(step, desk, again)


@pytest.mark.parametrize("reason", ["", " \n"])
async def test_claim_is_not_dismissed_without_a_reason(desk: Desk, reason: str) -> None:
    with desk.base.database.connect("sealer") as connection, pytest.raises(InvalidInput, match="has a reason"):
        settle_trouble(connection, desk.base.database, ONE.name, reason, OPERATOR)


async def test_witness_that_is_called_sealer_stops_nothing_and_can_be_dismissed(desk: Desk) -> None:
    named, database = SignerKey("sealer", COSIGNATURE, ONE.seed).verifier, desk.base.database
    with database.connect("sealer") as connection:
        note_trouble(connection, database, str(named), "It says that there is more.")
        parts = {part.name: part for part in await read_readiness(desk.ledger)}
        assert parts["seal"].ready
        assert parts["witness sealer"].reason == "It says that there is more."
        assert (
            settle_trouble(connection, database, "sealer", "no such events", OPERATOR) == "It says that there is more."
        )


async def test_what_an_operator_found_stays_when_the_witness_vouches_again(desk: Desk) -> None:
    database, witness = desk.base.database, str(ONE.verifier)
    with database.connect("sealer") as connection:
        note_trouble(connection, database, witness, "It says that there is more.")
        settle_trouble(connection, database, ONE.name, "its disk is broken", OPERATOR)
        end_trouble(connection, database, witness)
        connection.execute("INSERT INTO log_decisions (about, said, reason) VALUES (%s, 'log 7 root', 'old')", [ANCHOR])
        with database.connect("reader") as reading:
            kept = read_decisions(reading, database)
        assert [decision[1:] for decision in kept] == [
            (OPERATOR, witness, "It says that there is more.", "its disk is broken"),
            (None, ANCHOR, "log 7 root", "old"),  # as those are that were kept before ids were
        ]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM log_decisions")


async def test_claim_that_an_operator_dismissed_is_not_told_again_and_another_one_is(
    desk: Desk, tmp_path: Path
) -> None:
    """A witness that lies to every question: an unsigned 409 with whatever size it likes."""
    said = ["700"]
    app = FastAPI()

    @app.post("/add-checkpoint")
    async def lie() -> Response:
        return Response(f"{said[0]}\n", 409, {"Content-Type": SIZE_TYPE})

    seal(desk, tmp_path)
    database = desk.base.database
    with serving(app) as url, database.connect("sealer") as connection:
        cosigning = Cosigning(database, WitnessAddress(url, ONE.verifier))
        for dismissing in (True, False):  # at first it is news, and then it is what was dismissed before
            with pytest.raises(Contradicted):
                await asyncio.to_thread(step, desk, cosigning)
            said_before = settle_trouble(connection, database, ONE.name, "its disk is broken", OPERATOR)
            assert (said_before is not None) == dismissing
            assert claims(desk) == []
        said[0] = "701"
        with pytest.raises(Contradicted, match="701"):
            await asyncio.to_thread(step, desk, cosigning)
        assert "701" in claims(desk)[0].said
        said[0] = "0"  # which may be: it has lost its state, so it is asked from the beginning, and no more than that
        with pytest.raises(Contradicted, match="has vouched for nothing, and refuses"):
            await asyncio.to_thread(step, desk, cosigning)
        said[0] = "many"
        with pytest.raises(NotProven, match="not a plain decimal number"):
            await asyncio.to_thread(step, desk, cosigning)
    with pytest.raises(NotProven):
        open_checkpoint(await read_checkpoint(desk.ledger), SIGNER.verifier, [ONE.verifier], quorum=1)


class Patience(threading.Event):
    """Is told to stop after some pauses, and lets none of them last."""

    def __init__(self, pauses: int) -> None:
        super().__init__()
        self.left, self.pauses = pauses, list[float | None]()

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        if len(self.pauses) == self.left:
            self.set()
        return self.is_set()


@pytest.mark.parametrize("said", ["700", "0", "1", "nothing"])
async def test_witness_that_talks_nonsense_is_asked_with_growing_pauses(
    desk: Desk, tmp_path: Path, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Also one that always names a size that the log does have: it must not be asked without a pause."""
    app, asked = FastAPI(), list[int]()

    @app.post("/add-checkpoint")
    async def lie() -> Response:
        asked.append(1)
        size = len(asked) % 2 if said == "1" else said
        return Response(f"{size}\n", 409, {"Content-Type": SIZE_TYPE})

    seal(desk, tmp_path)
    stop = Patience(8)
    with serving(app) as url:
        cosigning = Cosigning(desk.base.database, WitnessAddress(url, ONE.verifier))
        with caplog.at_level(logging.WARNING, "ledger.application.cosigning"):
            await asyncio.to_thread(cosigning.run, stop)
    assert stop.pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert len(asked) <= 8 * TRIES
    assert "A witness does not vouch." in caplog.text


async def test_checkpoint_that_another_host_took_to_the_witness_is_no_alarm(desk: Desk, tmp_path: Path) -> None:
    """Two hosts ask the same witness: while one is asking, the log grows and the other was faster."""
    seal(desk, tmp_path)
    with serving(create_witness(a_witness(ONE, tmp_path))) as url:
        slow, fast = (Cosigning(desk.base.database, WitnessAddress(url, ONE.verifier)) for _ in range(2))
        loop = asyncio.get_running_loop()
        overtaken: list[None] = []

        async def grow() -> None:
            await desk.enrols(1)
            await asyncio.to_thread(seal, desk, tmp_path)
            await asyncio.to_thread(step, desk, fast)

        def overtake(_request: httpx.Request) -> None:
            if not overtaken:
                overtaken.append(asyncio.run_coroutine_threadsafe(grow(), loop).result(60))

        def ask() -> tuple[bool, bool]:
            with (
                desk.base.database.connect("sealer") as connection,
                httpx.Client(event_hooks={"request": [overtake]}) as client,
            ):
                return slow.step(connection, client), slow.step(connection, client)

        assert await asyncio.to_thread(ask) == (True, False)
    opened = open_checkpoint(await read_checkpoint(desk.ledger), SIGNER.verifier, [ONE.verifier], quorum=1)
    with desk.base.database.connect("sealer") as connection:
        last = connection.execute("SELECT max(position) FROM events").fetchone()
        assert last == (opened.checkpoint.size,)
    assert claims(desk) == []


@pytest.mark.parametrize(
    ("known", "told"),
    [({}, "404: it does not know this log"), ({SIGNER.name: [OTHER.verifier]}, "403: it knows no key that has signed")],
)
async def test_witness_that_was_not_given_the_logs_key_is_said_to_lack_it(
    desk: Desk, tmp_path: Path, known: dict[str, list[VerifierKey]], told: str
) -> None:
    seal(desk, tmp_path)
    with serving(create_witness(Witness(ONE, known, WitnessState(tmp_path / "state")))) as url:
        cosigning = Cosigning(desk.base.database, WitnessAddress(url, ONE.verifier))
        with pytest.raises(Unwilling, match=f"{told}.*--log"):
            await asyncio.to_thread(step, desk, cosigning)
    assert claims(desk) == []


@pytest.mark.parametrize("signer", [TWO, SignerKey(ONE.name, COSIGNATURE, b"\x11" * 32)])
async def test_cosignature_of_another_key_is_not_kept(desk: Desk, tmp_path: Path, signer: SignerKey) -> None:
    seal(desk, tmp_path)
    with serving(create_witness(a_witness(signer, tmp_path))) as url:
        cosigning = Cosigning(desk.base.database, WitnessAddress(url, ONE.verifier))
        with pytest.raises(NotProven):
            await asyncio.to_thread(step, desk, cosigning)
    with pytest.raises(NotProven):
        open_checkpoint(await read_checkpoint(desk.ledger), SIGNER.verifier, [signer.verifier], quorum=1)


async def test_receipts_wait_for_the_quorum_and_nothing_is_pretended(desk: Desk, tmp_path: Path) -> None:
    with ExitStack() as stack:
        addresses = [
            WitnessAddress(stack.enter_context(serving(create_witness(a_witness(signer, tmp_path)))), signer.verifier)
            for signer in (ONE, TWO)
        ]
        path = tmp_path / "witnesses"
        path.write_text("# two of them\n\n" + "".join(f"{url} {key}\n" for url, key in addresses))
        assert read_witnesses(path) == tuple(addresses)
        changes = {"witness_file": path, "witness_quorum": 2}
        desk.ledger.settings = desk.ledger.settings.model_copy(update=changes)
        seal(desk, tmp_path)
        one, two = (Cosigning(desk.base.database, address) for address in addresses)
        assert await asyncio.to_thread(step, desk, one)
        with pytest.raises(Busy, match="2 witnesses must vouch"):
            await read_receipt(desk.ledger, 1)
        assert await asyncio.to_thread(step, desk, two)
        receipt = parse_receipt(await read_receipt(desk.ledger, 1))
        keys = [key for _, key in addresses]
        vouched = open_checkpoint(receipt.checkpoint, SIGNER.verifier, keys, quorum=2).checkpoint.size
        await desk.enrols(1)
        seal(desk, tmp_path)
        receipt = parse_receipt(await read_receipt(desk.ledger, 1))  # from the older checkpoint, which has its quorum
        assert open_checkpoint(receipt.checkpoint, SIGNER.verifier, keys, quorum=2).checkpoint.size == vouched
        with pytest.raises(Busy):
            await read_receipt(desk.ledger, vouched + 1)


async def test_process_that_cannot_read_the_list_of_witnesses_does_everything_but_receipts_until_it_can(
    desk: Desk, tmp_path: Path
) -> None:
    """It starts like this where the list became unreadable under a running service, one process of which ended."""
    path = tmp_path / "witnesses"
    settings = desk.base.settings.model_copy(update={"witness_file": path, "witness_quorum": 1})
    async with open_ledger(replace(desk.base, settings=settings)) as ledger:

        async def told() -> list[tuple[bool, str]]:
            return [(part.ready, part.reason) for part in await read_readiness(ledger) if part.name == "witnesses"]

        with pytest.raises(Busy, match="who the witnesses are cannot be read") as raised:
            await read_receipt(ledger, 1, wait_s=5)
        assert str(tmp_path) not in raised.value.detail + raised.value.help
        assert await told() == [(True, "The list of witnesses cannot be read: no receipts from here.")]
        seal(desk, tmp_path)
        assert await read_checkpoint(ledger)
        waiting = asyncio.create_task(wait_for_receipts(ledger, [1], 60))
        with serving(create_witness(a_witness(ONE, tmp_path))) as url:
            assert await asyncio.to_thread(step, desk, Cosigning(desk.base.database, WitnessAddress(url, ONE.verifier)))
            assert not waiting.done()
            path.write_text(f"{url} {ONE.verifier}\n")
        assert await waiting == [await read_receipt(ledger, 1)]
        assert await told() == []


async def test_running_cosigner_goes_on_when_its_witness_comes_back(desk: Desk, tmp_path: Path) -> None:
    witness, stop = a_witness(ONE, tmp_path), threading.Event()
    seal(desk, tmp_path)
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    cosigning = Cosigning(desk.base.database, WitnessAddress(f"http://127.0.0.1:{port}", ONE.verifier))
    running = asyncio.create_task(asyncio.to_thread(cosigning.run, stop))
    try:
        with listen("127.0.0.1", port) as listening:
            server = uvicorn.Server(uvicorn.Config(create_witness(witness), access_log=False, log_config=None))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            try:

                async def vouched() -> bool:
                    return b"witness.example/w1" in await read_checkpoint(desk.ledger)

                await until(vouched)
            finally:
                server.should_exit = True
                await asyncio.to_thread(thread.join)
    finally:
        stop.set()
        await running


@pytest.mark.parametrize(
    "line",
    [
        "https://witness.example",
        f"http://witness.example {ONE.verifier}",
        f"ftp://127.0.0.1 {ONE.verifier}",
        f"https://witness.example {SIGNER.verifier}",
        f"https://a.example {ONE.verifier}\nhttps://b.example {ONE.verifier}",
        f"https://a.example {ONE.verifier}\nhttps://b.example {SignerKey(ONE.name, COSIGNATURE, TWO.seed).verifier}",
        f"https://a.example {ONE.verifier}\nhttps://b.example {SignerKey(TWO.name, COSIGNATURE, ONE.seed).verifier}",
    ],
)
def test_unusable_list_of_witnesses_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "witnesses"
    path.write_text(line + "\n")
    with pytest.raises(SettingsError):
        read_witnesses(path)
    with pytest.raises(SettingsError):
        read_witnesses(tmp_path / "missing")
