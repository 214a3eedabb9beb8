"""Honest histories raise no alarm: whatever is recorded, sealed, restarted, erased and read in whatever order."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.application.evidence import EvidenceExport
from ledger.application.verification import LogVerifier, Outside
from ledger.ids import new_id
from ledger.seal.pack import verify_pack
from ledger.store.executor import CommandExecutor, ExecutorSettings
from ledger.store.keyring import Keyring
from ledger.store.log_files import newest
from ledger.store.sealer import Sealer
from tests.support import postgres
from tests.support.commands import Enrol, Mark, envelope
from tests.support.log import SIGNER, begun
from tests.support.tampering import erase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from uuid import UUID

    from ledger.store.database import Database
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.integers(1, 40)),
        st.tuples(st.just("seal"), st.just(0)),
        st.tuples(st.just("erase"), st.just(0)),
        st.tuples(st.just("keep"), st.just(0)),
    ),
    min_size=1,
    max_size=8,
)


HISTORIES = 200
"""Examples after which a ledger is followed by an empty one: each of them verifies all that was recorded before it."""


class Honest:
    """One ledger that lives on from example to example, so that its history gets longer and stranger."""

    def __init__(self, database: Database, mapper: EventMapper, keks: KeyEncryptionKeys, folder: Path) -> None:
        self.database, self.mapper, self.keks, self.folder = database, mapper, keks, folder
        self.anchor = begun(folder / "anchor")
        self.kept: list[bytes] = []
        self.students: list[UUID] = []
        self.histories = 0

    async def record(self, marks: int) -> None:
        """Records with an executor of its own, as after a restart."""
        settings = ExecutorSettings(snapshot_every=4, lanes=2)
        executor = CommandExecutor(self.database, self.mapper, Keyring(self.keks), settings)
        await executor.start()
        student = new_id()
        await executor.execute(envelope(Enrol(student)))
        await asyncio.gather(*(executor.execute(envelope(Mark(student))) for _ in range(marks)))
        await executor.stop()
        self.students.append(student)

    def seal(self) -> None:
        """Seals with a sealer of its own, as after a restart."""
        Sealer(self.database, [SIGNER], self.anchor).catch_up()

    def keep(self) -> None:
        """Keeps the newest checkpoint somewhere else."""
        with self.database.connect("reader") as connection:
            stored = newest(connection, self.database)
        if stored is not None:
            self.kept.append(stored.note)

    def do(self, step: str, amount: int) -> None:
        """Does one thing that an honest ledger does."""
        if step == "record":
            asyncio.run(self.record(amount))
        elif step == "seal":
            self.seal()
        elif step == "keep":
            self.keep()
        elif self.students:
            student = self.students.pop()
            erase(self.database, student, "marks")

    def check(self) -> None:
        """Verifies database and pack against everything that was kept."""
        outside = [Outside(f"copy {number}", note) for number, note in enumerate(self.kept[-5:])]
        report = LogVerifier(self.database, self.mapper, self.keks, [SIGNER.verifier], outside).verify()
        assert report.findings == []
        if report.sealed:
            pack = self.folder / "pack"
            EvidenceExport(self.database).export(pack)
            assert verify_pack(pack, old=self.kept[-1] if self.kept else None).entries == report.sealed
            shutil.rmtree(pack)

    def live(self, steps: list[tuple[str, int]]) -> None:
        """Goes through one more history, and checks everything since the ledger was empty."""
        self.histories += 1
        for step, amount in steps:
            self.do(step, amount)
        self.check()


@pytest.fixture(scope="module")
def honest(
    postgres_url: str, keks: KeyEncryptionKeys, mapper: EventMapper, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Honest]]:
    """Returns the ledger that lives now."""
    with ExitStack() as stack:
        lives: list[Honest] = []

        def now() -> Honest:
            if not lives or lives[-1].histories >= HISTORIES:
                stack.close()
                database = stack.enter_context(postgres.fresh_ledger(postgres_url, keks))
                lives.append(Honest(database, mapper, keks, tmp_path_factory.mktemp("honest")))
            return lives[-1]

        yield now


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_honest_history_raises_no_alarm(honest: Callable[[], Honest], steps: list[tuple[str, int]]) -> None:
    honest().live(steps)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@settings(max_examples=1_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_thousand_honest_histories_raise_no_alarm(honest: Callable[[], Honest], steps: list[tuple[str, int]]) -> None:
    honest().live(steps)
