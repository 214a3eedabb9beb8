"""The tamper matrix: whatever a database superuser changes is found, and named.

Every cell is one change, made as superuser with all triggers off, and what must be said about it. `OUTSIDE` marks the
changes that are consistent in themselves (the tampering hand has the log's key and the keys of the records as well):
these are found by a checkpoint that somebody kept elsewhere, and by nothing else, which the test says too.
"""

from __future__ import annotations

import asyncio
import re
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from psycopg import sql

from ledger.application.audit import Auditor
from ledger.application.evidence import EvidenceExport
from ledger.application.verification import LogReport, LogVerifier, Outside
from ledger.errors import NotProven
from ledger.ids import new_id
from ledger.seal.checkpoint import Checkpoint
from ledger.seal.merkle import EMPTY_ROOT, inclusion_proof
from ledger.seal.note import COSIGNATURE, ED25519, SignerKey, VerifierKey, parse_note, sign
from ledger.seal.proof import Receipt
from ledger.store.anchor import Anchor
from ledger.store.executor import CommandExecutor, ExecutorSettings
from ledger.store.keyring import Keyring
from ledger.store.log_files import load_nodes, newest
from ledger.store.log_keys import LogKeyFile, make_log_key, read_log_keys
from ledger.store.sealer import Sealer
from tests.support import postgres
from tests.support.desk import Desk, a_base, at_desk
from tests.support.log import SIGNER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    import psycopg

    from ledger.application.audit import AuditReport
    from ledger.bootstrap import Foundation
    from ledger.store.database import Database, Row
    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper

FORGER = SignerKey(SIGNER.name, ED25519, b"\x66" * 32)
WITNESS = SignerKey("witness.example/w1", COSIGNATURE, b"\x07" * 32)
STRANGER = SignerKey("witness.example/w3", COSIGNATURE, b"\x09" * 32)
SEEN = 1_767_225_600


@dataclass(frozen=True)
class Ground:
    """A sealed ledger, its copy to put back, and a checkpoint that somebody kept before the last events."""

    base: Foundation
    kept: bytes
    folder: Path

    @property
    def database(self) -> Database:
        """Its database."""
        return self.base.database

    def verify(
        self, *, outside: bool = True, complete: bool = True, witnesses: tuple[VerifierKey, ...] = (WITNESS.verifier,)
    ) -> LogReport:
        """Verifies the log."""
        kept = [Outside("the inspector's copy", self.kept)] if outside else []
        base, keys = self.base, [SIGNER.verifier]
        verifier = LogVerifier(
            base.database, base.mapper, base.keks, keys, kept, witnesses=witnesses, complete=complete
        )
        return verifier.verify()

    def audit(self) -> AuditReport:
        """Audits the meaning."""
        base = self.base
        return Auditor(base.database, base.mapper, base.keks, base.views).audit()

    def found(self, *, outside: bool = True) -> list[str]:
        """Returns everything that verification and audit name, one line each."""
        findings = [*self.verify(outside=outside).findings, *self.audit().findings]
        return [f"{finding.where}: {finding.record}: {finding.what}" for finding in findings]

    @contextmanager
    def as_superuser(self) -> Iterator[psycopg.Connection[Row]]:
        """Yields a connection for which no trigger and no foreign key exists, in one transaction."""
        with self.database.connect("owner") as connection, connection.transaction():
            connection.execute("SET LOCAL session_replication_role = replica")
            yield connection

    def seal(self, signer: SignerKey = SIGNER) -> bytes:
        """Seals what is recorded (with an anchor that trusts whatever is there), and returns the checkpoint."""
        sealer = Sealer(self.database, [signer], Anchor(self.folder / "forgotten"))
        (self.folder / "forgotten").unlink(missing_ok=True)
        with self.database.connect("sealer") as connection:
            sealer.trust(accepting=True)
            sealer.recover(connection)
            while sealer.seal(connection):
                pass
            stored = newest(connection, self.database)
        assert stored is not None
        return stored.note

    def forge_log(self, connection: psycopg.Connection[Row]) -> None:
        """Throws the log away, so that `seal` makes a new one over what is stored now."""
        for table in ("log_cosignatures", "log_checkpoints", "log_tiles"):
            connection.execute(f"DELETE FROM {table}")


@pytest.fixture(scope="module")
def ground(
    postgres_url: str, keks: KeyEncryptionKeys, mapper: EventMapper, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("ground")
    with postgres.fresh_ledger(postgres_url, keks) as database:
        base = a_base(database, keks, mapper, folder)
        asyncio.run(_history(base, first=True))
        kept = Ground(base, b"", folder).seal()
        asyncio.run(_history(base, first=False))
        made = Ground(base, kept, folder)
        made.seal()
        with made.as_superuser() as connection:
            cosign(connection, WITNESS)
        base.runner().catch_up()
        _copy(database)
        assert made.found() == []
        yield made
        assert made.found() == []


def cosign(connection: psycopg.Connection[Row], witness: SignerKey) -> None:
    """Stores a witness's cosignature of each checkpoint, as the ledger keeps those that it was given."""
    for size, note in connection.execute("SELECT size, note FROM log_checkpoints").fetchall():
        line = sign(parse_note(bytes(note)).text, witness, seconds=SEEN + size).line()
        row = (size, str(witness.verifier), line.encode())
        connection.execute("INSERT INTO log_cosignatures (size, witness, line) VALUES (%s, %s, %s)", row)


async def _history(base: Foundation, *, first: bool) -> None:
    async with at_desk(base) as desk:
        settings = ExecutorSettings(snapshot_every=8)
        executor = CommandExecutor(base.database, base.mapper, Keyring(base.keks), settings)
        await executor.start()
        opened, desk.ledger.executor = desk.ledger.executor, executor
        try:
            await _record(desk, first=first)
        finally:
            desk.ledger.executor = opened
            await executor.stop()


async def _record(desk: Desk, *, first: bool) -> None:
    if first:
        await desk.founds()
    else:
        desk.course, desk.group = await _second(desk)
    students = await desk.enrols(3, family="Первый" if first else "Второй")
    for student in students:
        for value in ("5", "4", "3", "5", "4", "5", "5", "4", "3"):
            await desk.does(desk.mark(student, value, comment="работа над ошибками"))
        await desk.does(desk.achievement(student))


async def _second(desk: Desk) -> tuple[UUID, UUID]:
    """Opens another class with its course for the later part of the history."""
    group, course = new_id(), new_id()
    await desk.forms("5Б", group)
    desk.work = await desk.opens(course, group)
    desk.group = group
    return course, group


def _tables(connection: psycopg.Connection[Row], database: Database) -> list[sql.Identifier]:
    rows = connection.execute(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = %s OR starts_with(schemaname, %s)"
        " ORDER BY 1, 2",
        (database.schema, database.schema + "_"),
    ).fetchall()
    return [sql.Identifier(*row) for row in rows if row[0] != f"{database.schema}_copy"]


def _copy_of(database: Database, table: sql.Identifier) -> sql.Identifier:
    return sql.Identifier(f"{database.schema}_copy", table.as_string(None).replace('"', "").replace(".", "_")[-60:])


def _copy(database: Database) -> None:
    with database.connect("owner") as connection:
        schema = sql.Identifier(f"{database.schema}_copy")
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
        for table in _tables(connection, database):
            connection.execute(sql.SQL("CREATE TABLE {} AS TABLE {}").format(_copy_of(database, table), table))


@pytest.fixture
def tampered(ground: Ground) -> Iterator[Ground]:
    """The ground, put back after the test as it was."""
    yield ground
    with ground.as_superuser() as connection:
        tables = _tables(connection, ground.database)
        names = sql.SQL(", ").join(tables)
        connection.execute(sql.SQL("TRUNCATE {}").format(names))
        for table in tables:
            copy = _copy_of(ground.database, table)
            connection.execute(sql.SQL("INSERT INTO {} SELECT * FROM {}").format(table, copy))


# --- one change each ------------------------------------------------------------------------------------------------

CELLS: dict[str, tuple[str, str]] = {
    cell["change"]: (cell["sql"], cell["named"])
    for cell in tomllib.loads((Path(__file__).parents[2] / "fixtures" / "tamper-matrix.toml").read_text())["cell"]
}
MARK = "(SELECT position FROM events WHERE topic = 'marks.recorded' ORDER BY position OFFSET 4 LIMIT 1)"

UNDONE = {
    "make an event longer than an entry can be": (
        "ALTER TABLE events ADD CONSTRAINT events_fit_entries CHECK (octet_length(topic) <= 255 AND"
        " octet_length(record_class) <= 255 AND octet_length(key_commitment) <= 255) NOT VALID"
    ),
    "disable a trigger": "ALTER TABLE events ENABLE TRIGGER events_refuse_change",
    "drop a trigger": (
        "CREATE TRIGGER log_tiles_only_grow BEFORE UPDATE ON log_tiles FOR EACH ROW EXECUTE FUNCTION only_grow()"
    ),
}


@pytest.mark.parametrize("cell", CELLS)
def test_change_by_a_superuser_is_found_and_named(tampered: Ground, cell: str) -> None:
    statement, named = CELLS[cell]
    journals = next(view for view in tampered.base.views if view.name == "journals")
    statement = statement.replace("{journals}", journals.schema(tampered.database.schema))
    bodies: list[Row] = []
    with tampered.as_superuser() as connection:
        bodies = connection.execute(
            "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = %s::regnamespace",
            (tampered.database.schema,),
        ).fetchall()
        for part in statement.split(";;"):
            connection.execute(part)
    try:
        found = tampered.found()
        assert any(re.search(named, line) for line in found), found[:5]
    finally:
        with tampered.as_superuser() as connection:
            if cell in UNDONE:
                connection.execute(UNDONE[cell])
            for (definition,) in bodies:
                connection.execute(definition)


# --- consistent in themselves: only what was kept outside tells --------------------------------------------------


def _truncate_everything(ground: Ground, connection: psycopg.Connection[Row]) -> None:
    """Drops the last events with everything that knows of them, and seals what is left with the log's own key."""
    connection.execute("DELETE FROM events WHERE position > (SELECT min(size) - 3 FROM log_checkpoints)")
    ground.forge_log(connection)
    _forget_views(ground, connection)


def _rewrite_an_event(ground: Ground, connection: psycopg.Connection[Row]) -> None:
    """Back-dates an event, which no key of a record knows of, and seals the new history with the log's own key."""
    connection.execute(
        "UPDATE events a SET recorded_at = (SELECT recorded_at FROM events b WHERE b.position = a.position - 1)"
        f" WHERE position = {MARK}"
    )
    ground.forge_log(connection)


def _restore_a_backup(ground: Ground, connection: psycopg.Connection[Row]) -> None:
    """Puts the whole database back to its first checkpoint, but for what stands in files outside."""
    connection.execute("DELETE FROM events WHERE position > (SELECT min(size) - 1 FROM log_checkpoints)")
    ground.forge_log(connection)
    _forget_views(ground, connection)


def _forget_views(ground: Ground, connection: psycopg.Connection[Row]) -> None:
    connection.execute("DELETE FROM snapshots")
    connection.execute("UPDATE tracking SET position = 0")
    for view in ground.base.views:
        schema = sql.Identifier(view.schema(ground.database.schema))
        for table in view.tables:
            connection.execute(sql.SQL("TRUNCATE {}.{}").format(schema, sql.Identifier(table.name)))


OUTSIDE: dict[str, Callable[[Ground, psycopg.Connection[Row]], None]] = {
    "truncate the tail of everything": _truncate_everything,
    "fork: rewrite an event and the log": _rewrite_an_event,
    "restore an older backup": _restore_a_backup,
}


@pytest.mark.parametrize("change", OUTSIDE)
def test_consistent_forgery_is_found_by_a_checkpoint_from_outside_alone(tampered: Ground, change: str) -> None:
    with tampered.as_superuser() as connection:
        OUTSIDE[change](tampered, connection)
    tampered.seal()
    tampered.base.runner().catch_up()
    assert tampered.found(outside=False) == []
    assert any("checkpoints: the inspector's copy: " in line for line in tampered.found())


def test_swapped_log_key_is_found_by_the_verifier_key(tampered: Ground) -> None:
    with tampered.as_superuser() as connection:
        tampered.forge_log(connection)
        connection.execute("DELETE FROM log_keys")
    tampered.seal(FORGER)
    assert any(
        re.search(r"checkpoints: size \d+: The log's own signature is missing", line) for line in tampered.found()
    )


def test_log_begun_anew_with_a_new_key_is_found_by_what_was_kept_elsewhere_alone(
    tampered: Ground, tmp_path: Path
) -> None:
    """Key file, file outside and log are removed, an event is back-dated: nothing here says that there was a log."""
    with tampered.database.connect("sealer") as connection:
        stored = newest(connection, tampered.database)
        assert stored is not None
        prove = partial(inclusion_proof, index=9, size=stored.size)
        path = prove(load_nodes(connection, tampered.database, stored.size, prove))
    receipt = bytes(Receipt(9, tuple(path), stored.note))
    with tampered.as_superuser() as connection:
        _rewrite_an_event(tampered, connection)
        connection.execute("DELETE FROM log_keys")
    file = tmp_path / "log.key"
    make_log_key(file, SIGNER.name)
    (new,) = read_log_keys(file)
    sealer = Sealer(tampered.database, [new], Anchor(tmp_path / "checkpoint"), LogKeyFile(file))
    assert sealer.catch_up() == stored.size  # no alarm
    tampered.base.runner().catch_up()

    def found(keys: list[SignerKey], *outside: bytes) -> list[str]:
        base, kept = tampered.base, [Outside(str(number), note) for number, note in enumerate(outside)]
        verifiers = [key.verifier for key in keys]
        report = LogVerifier(base.database, base.mapper, base.keks, verifiers, kept).verify()
        return [f"{finding.where}: {finding.record}: {finding.what}" for finding in report.findings]

    assert found([new], (tmp_path / "checkpoint").read_bytes()) == []
    assert tampered.audit().equal
    assert any("The log's own signature is missing" in line for line in found([SIGNER]))  # who knows the old key
    for kept in (tampered.kept, receipt.partition(b"\n\n")[2]):  # a receipt ends with a checkpoint
        assert any("checkpoints: 0: The log's own signature is missing" in line for line in found([new], kept))
        both = found([new, SIGNER], kept)  # the operator says that he has only changed the key
        assert any(re.search("checkpoints: 0: .*does not continue", line) for line in both), both


def test_what_was_not_checked_is_said(ground: Ground) -> None:
    seen: list[tuple[int, int]] = []
    base, kept, vouching = ground.base, [Outside("copy", ground.kept)], [WITNESS.verifier]
    verifier = LogVerifier(base.database, base.mapper, base.keks, [SIGNER.verifier], kept, witnesses=vouching)
    report = verifier.verify(cosignatures=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 2)]
    [told], size = report.not_checked, report.sealed
    assert "the database alone says so. witness.example/w1 has signed that it saw" in told
    assert f"saw {size} events at 2026-01-01 00:0" in told
    assert "No checkpoint from outside" in ground.verify(outside=False).not_checked[-1]


def test_cosignature_of_a_witness_that_nobody_named_is_told_and_counts_for_none(tampered: Ground) -> None:
    with tampered.as_superuser() as connection:
        cosign(connection, STRANGER)
    told = tampered.verify()
    assert told.sound
    assert f"Whose {STRANGER.verifier} is: 2 cosignatures" in told.not_checked[0]
    assert len(tampered.verify(witnesses=(WITNESS.verifier, STRANGER.verifier)).not_checked) == 1


def test_listed_key_is_only_told_to_somebody_who_does_not_know_all_keys(tampered: Ground) -> None:
    with tampered.as_superuser() as connection:
        connection.execute("INSERT INTO log_keys (verifier) VALUES (%s)", (str(FORGER.verifier),))
    told = tampered.verify(complete=False)
    assert told.sound
    assert f"The listed key {FORGER.verifier}: it was not given here" in told.not_checked[0]


def test_key_that_is_only_listed_is_in_no_pack(tampered: Ground, tmp_path: Path) -> None:
    with tampered.as_superuser() as connection:
        connection.execute("INSERT INTO log_keys (verifier) VALUES (%s)", (str(FORGER.verifier),))
    EvidenceExport(tampered.database).export(tmp_path / "pack")
    assert (tmp_path / "pack" / "keys").read_text() == f"{SIGNER.verifier}\n"
    with tampered.as_superuser() as connection:
        connection.execute("DELETE FROM log_keys WHERE verifier = %s", (str(SIGNER.verifier),))
    with pytest.raises(NotProven, match="No listed key"):
        EvidenceExport(tampered.database).export(tmp_path / "none")


def test_checkpoint_of_the_empty_log_counts_as_outside_only_if_the_key_has_signed_it_and_proves_nothing(
    ground: Ground,
) -> None:
    def told(signer: SignerKey) -> LogReport:
        note = bytes(Checkpoint(SIGNER.name, 0, EMPTY_ROOT).signed_by(signer))
        base, kept = ground.base, [Outside("the file", note)]
        return LogVerifier(base.database, base.mapper, base.keks, [SIGNER.verifier], kept).verify()

    assert [finding.record for finding in told(FORGER).findings] == ["the file"]
    assert told(SIGNER).findings == []
    said = [line[:30] for line in told(SIGNER).not_checked]
    assert said[0] == "the file is of the empty log ("
    assert said[-1] == "No checkpoint from outside the"
