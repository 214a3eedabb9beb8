"""The transparency log: whether it is sealed, by whose key, what lies outside the database, and who vouches for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.application.cosigning import read_witnesses
from ledger.application.doctor.findings import Finding, ok, problem, unknown, warning
from ledger.application.doctor.progress import held
from ledger.errors import NotProven
from ledger.seal.checkpoint import Checkpoint, open_signed
from ledger.seal.note import parse_note, verified_by
from ledger.store.anchor import Anchor
from ledger.store.log_files import SELECT_CHECKPOINT, newest
from ledger.store.log_key_source import log_keys_of
from ledger.store.log_keys import is_adding
from ledger.store.log_troubles import SEALER, read_troubles

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from ledger.settings import Settings
    from ledger.store.database import Database, Row
    from ledger.store.log_files import StoredCheckpoint

LATE_S = 5.0
"""An event is sealed within a second; one that waits for so much longer says that something is slow."""

STUCK_S = 60.0
"""And so long, that nothing is sealed at all; or that the file outside the database is not written."""

SILENT_S = 600.0
"""How long a witness may not vouch for what is there before somebody should ask it."""

_STANDING = """
SELECT (SELECT reason FROM log_alarm LIMIT 1), s.size, (SELECT coalesce(max(position), 0) FROM events),
    (SELECT extract(epoch FROM clock_timestamp() - recorded_at)::float FROM events WHERE position = s.size + 1)
FROM (SELECT coalesce(max(size), 0) AS size FROM log_checkpoints) AS s
"""
_SINCE = """
SELECT extract(epoch FROM clock_timestamp() - min(signed_at))::float FROM log_checkpoints WHERE size > %s
"""
_OLDEST = "SELECT extract(epoch FROM clock_timestamp() - recorded_at)::float FROM events ORDER BY position LIMIT 1"
_VOUCHED = "SELECT coalesce(max(size), 0) FROM log_cosignatures WHERE witness = %s"


def check_seal(connection: psycopg.Connection[Row], database: Database) -> Iterator[Finding]:
    """Yields whether the sealer runs, keeps up, and has met nothing that contradicts what was signed."""
    with database.connect("sealer") as reading:
        row = reading.execute(_STANDING).fetchone()
        refuses = [said for source, said in read_troubles(reading, database) if source == SEALER]
    reason, size, last, waits = row or (None, 0, 0, None)
    key = "((1279543122::bigint << 32) | (%(role)s::regrole::oid::bigint & 4294967295))"
    led = held(connection, key, role=f"{database.schema}_sealer")
    if reason is not None:
        todo = "The history contradicts what was signed. Keep everything as it is; docs/log.md says what to do."
        yield problem("seal", reason, todo)
    elif refuses:
        yield problem("seal", refuses[0], "The sealer's log names the file; docs/log.md says what to do.")
    elif size < last and not led:
        said = f"{last - size:,} events are not sealed, and no sealer runs."
        yield problem("seal", said, "Start `ledger serve`, or see in its log why the sealer does not run.")
    elif not led:
        yield warning("seal", "No sealer runs.", "Nothing is missing yet; `ledger serve` starts one.")
    elif (waits or 0) > LATE_S:
        said = f"The oldest event without a seal waits for {waits:.0f} s; {last - size:,} wait in all."
        todo = "See the sealer's log; a slow disk or a database under load is the usual cause."
        yield (problem if waits > STUCK_S else warning)("seal", said, todo)
    else:
        yield ok("seal", f"{size:,} events sealed")


def check_keys(database: Database, settings: Settings) -> Iterator[Finding]:
    """Yields whether the keys in the file are those that sign; that the file is there was looked at before."""
    source = log_keys_of(settings)
    if not source.there:
        yield unknown("log keys", "The key file is not here, so nobody can seal from here.")
        return
    keys = [key.verifier for key in source.read()]
    with database.connect("sealer") as reading:
        stored = newest(reading, database)
    if stored is not None and not verified_by(parse_note(stored.note), keys):
        yield problem(
            "log keys",
            "No key of this host has signed the newest checkpoint: a sealer that starts here stops with an alarm.",
            f"Put the right keys back ({source.place}). If they were changed elsewhere, copy them from there.",
        )
    elif settings.log_key is None and is_adding(settings.log_key_path):
        yield warning("log keys", "A change of keys was interrupted.", "Run `ledger log rotate` again: it goes on.")
    elif len(keys) > 1:
        told = ", ".join(key.id.hex() for key in keys)
        todo = "When inspectors and witnesses know the newer one: `ledger log retire` the older."
        yield warning("log keys", f"{len(keys)} keys sign the log: {told}.", todo)
    else:
        yield ok("log keys", f"{keys[0].id.hex()} signs")


def check_anchor(database: Database, settings: Settings) -> Iterator[Finding]:
    """Yields whether the newest checkpoint stands outside the database as well, and says the same.

    The file is read before the database, so while all is well it is never ahead.
    """
    path = settings.seal_path
    note = Anchor(path).read()
    with database.connect("sealer") as reading:
        stored = newest(reading, database)
        if note is None:
            oldest = reading.execute(_OLDEST).fetchone()
            yield from _no_anchor(stored, oldest[0] if oldest else 0.0, settings)
            return
        try:
            anchored = Checkpoint.parse(parse_note(note).text)
            if (source := log_keys_of(settings)).there:
                keys = [key.verifier for key in source.read()]
                open_signed(note, (*keys, *source.retired()))
        except NotProven as error:
            yield problem("seal file", error.detail, f"{path} was altered or exchanged; find out by whom.")
            return
        size = stored.size if stored else 0
        if anchored.size > size:
            said = f"The database knows {size:,} sealed events, the file outside it {anchored.size:,}."
            todo = "The database was set back or exchanged. Do not remove the file; docs/log.md says what to do."
            yield problem("seal file", said, todo)
            return
        row = reading.execute(database.bind(SELECT_CHECKPOINT), (anchored.size,)).fetchone()
        since = reading.execute(_SINCE, (anchored.size,)).fetchone()
    if anchored.size and (row is None or bytes(row[1]) != anchored.root):
        said = f"The database has another checkpoint over {anchored.size:,} events than the file outside it."
        yield problem("seal file", said, "The log was exchanged: `ledger verify` names what differs. Keep both.")
    elif since and (since[0] or 0) > STUCK_S:
        said = f"It is behind by {size - anchored.size:,} events, for {since[0]:.0f} s."
        yield warning("seal file", said, f"The sealer runs on another machine, or cannot write {path}.")
    else:
        yield ok("seal file", str(path))


def _no_anchor(stored: StoredCheckpoint | None, oldest_s: float, settings: Settings) -> Iterator[Finding]:
    source = log_keys_of(settings)
    if stored is None and oldest_s < LATE_S:
        yield ok("seal file", "nothing is sealed yet")
    elif stored is None and source.there and not source.is_unused(source.read()):
        said = "There is no log and no file outside the database, but the key may have sealed before: both may be gone."
        todo = (
            f"Ask who keeps checkpoints, and find out who removed {settings.seal_path}. If nothing was ever sealed, say"
            " that you trust the database: `ledger log anchor` (docs/log.md)."
        )
        yield problem("seal file", said, todo)
    elif stored is None:
        said = f"Nothing is sealed yet, and the oldest event is {oldest_s:,.0f} s old."
        yield warning("seal file", said, "`ledger serve` begins the log; until then the database alone is believed.")
    else:
        said = "The sealer's file outside the database is not here: a database that was set back would go unseen."
        todo = (
            f"Right where no sealer is to run. Else find out who removed {settings.seal_path}, and bring it back or"
            " say that you trust the database: `ledger log anchor` (docs/log.md)."
        )
        yield warning("seal file", said, todo)


def check_witnesses(database: Database, settings: Settings) -> Iterator[Finding]:
    """Yields which witnesses contradict the log or do not vouch, and whether enough do for receipts."""
    with database.connect("sealer") as reading:
        contradicting = {told.name: told.said for told in read_troubles(reading, database) if told.source != SEALER}
    for said in contradicting.values():
        todo = "Ask for the checkpoint that it signed: `ledger verify --checkpoint` decides; docs/log.md says how."
        yield problem("witnesses", said, todo)
    witnesses = read_witnesses(settings.witness_file)
    if not witnesses:
        if settings.witness_quorum:
            said = f"{settings.witness_quorum} witnesses must vouch, and none is listed: no receipt is ever handed out."
            yield problem("witnesses", said, "Name them in LEDGER_WITNESS_FILE, or unset LEDGER_WITNESS_QUORUM.")
        else:
            yield ok("witnesses", "none; the log's own key alone vouches for it")
        return
    silent: list[Finding] = []
    with database.connect("sealer") as reading:
        for witness in witnesses:
            if witness.key.name in contradicting:
                continue
            row = reading.execute(_VOUCHED, (str(witness.key),)).fetchone()
            since = reading.execute(_SINCE, (row[0] if row else 0,)).fetchone()
            if since and (since[0] or 0) > SILENT_S:
                said = f"{witness.key.name} has not vouched for {since[0] / 60:.0f} minutes."
                silent.append(warning("witnesses", said, "Ask who runs it; the sealer's log says what it answers."))
    vouch = sum(witness.key.name not in contradicting for witness in witnesses) - len(silent)
    if vouch < settings.witness_quorum:
        said = f"{vouch} of {settings.witness_quorum} witnesses vouch: newer events get no receipt."
        yield problem("witnesses", said, "Bring the silent ones back, or lower LEDGER_WITNESS_QUORUM and say so.")
    yield from silent or ([ok("witnesses", f"{vouch} vouch")] if vouch else [])
