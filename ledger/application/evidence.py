"""Evidence packs: what an inspector takes away and verifies elsewhere.

A pack is made from what is stored at one checkpoint, so recording may go on. It holds ciphertext, ids and codes;
nothing in it is opened. The events of one student are a record about that student all the same: exporting them is
disclosed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from ledger.errors import Conflict, NotFound, NotProven, SettingsError
from ledger.ids import new_id
from ledger.seal.checkpoint import Checkpoint
from ledger.seal.entry import Entry, encode_entry
from ledger.seal.merkle import inclusion_proof
from ledger.seal.note import parse_note
from ledger.seal.pack import FORMAT, PackInfo, bundles_of, write_sums
from ledger.seal.proof import Receipt
from ledger.seal.tiles import Tile, tiles_of, write_bundle
from ledger.store.database import translated
from ledger.store.lanes import ENTRY_COLUMNS, SELECT_SPAN
from ledger.store.log_files import SELECT_COSIGNATURES, SELECT_KEYS, load_nodes, load_tiles, newest, signers_among

if TYPE_CHECKING:
    import psycopg

    from ledger.seal.merkle import Nodes
    from ledger.store.database import Database, Row

Progress = Callable[[int, int], None]

CHUNK = 64
"""Tiles read at once."""

_OF_SUBJECT = (
    f"SELECT {ENTRY_COLUMNS} FROM {{schema}}.events"  # noqa: S608 - ours
    " WHERE subject_id = %b AND position > %b AND position <= %b ORDER BY position"
)

README = """# Доказательства из реестра школы / Evidence from a school's ledger

Эта папка проверяется без базы данных и без сети, на любом компьютере с программой `ledger`:

    ledger evidence verify ПАПКА --key "КЛЮЧ"{option_ru}

`--key` — ключ проверки журнала, полученный вами не из этой папки.
{older_ru}
Код возврата 0 — всё сходится; 1 — названа первая позиция, которая не сходится.
Персональных данных в открытом виде здесь нет: содержание записей зашифровано.

This folder is verified without database and network, on any machine with the program `ledger`:

    ledger evidence verify FOLDER --key "KEY"{option}

`--key` is the log's verifier key as you were given it elsewhere, not from this folder.
{older}
Exit code 0: everything holds; 1: the first position that does not is named.
No personal data stand here in clear: what the records say is encrypted.

Without our program: leaves are SHA-256(00 ‖ entry), nodes SHA-256(01 ‖ left ‖ right) (RFC 6962); tiles and entry
bundles follow c2sp.org/tlog-tiles, the checkpoint c2sp.org/tlog-checkpoint, receipts c2sp.org/tlog-proof. Entries are
described in docs/entry-format.md of the program. `sha256sum -c SHA256SUMS` checks the files that no hash of the log
covers.
"""
OF_LOG = {
    "option_ru": " --checkpoint СТАРАЯ_КОНТРОЛЬНАЯ_ТОЧКА",
    "older_ru": """`--checkpoint` — контрольная точка, которую вы сохранили раньше: так доказывается, что с тех пор
история только дополнялась.

Квитанция любой записи этого журнала (.tlog-proof), без базы данных и сети:

    ledger evidence receipt ПАПКА ПОЗИЦИЯ --key "КЛЮЧ" --out ПОЗИЦИЯ.tlog-proof""",
    "option": " --checkpoint OLD_CHECKPOINT",
    "older": """`--checkpoint` is one that you kept before: it proves that history was only added to since.

The receipt of any record of this log (.tlog-proof), without database and network:

    ledger evidence receipt FOLDER POSITION --key "KEY" --out POSITION.tlog-proof""",
}
OF_STUDENT = {
    "option_ru": "",
    "older_ru": """Здесь записи одного ученика, каждая с квитанцией. Что история с прошлого раза только дополнялась,
доказывает папка со всем журналом: `ledger evidence export` без `--student`.""",
    "option": "",
    "older": """Here are the records of one student, each with its receipt. That history was only added to since last
time is proven by a pack of the whole log: `ledger evidence export` without `--student`.""",
}


class EvidenceExport:
    """Writes packs of one ledger, as the role of the sealer: it reads events and log, and has no keys of records."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def export(
        self, folder: Path, *, student: UUID | None = None, since: int = 1, progress: Progress | None = None
    ) -> PackInfo:
        """Writes a pack; the folder appears whole or not at all.

        Args:
            folder: must not exist, or be empty.
            student: only this student's events, each with its receipt.
            since: entries from this position on; hashes are always all there.

        Raises:
            Conflict: the folder holds something. NotFound: nothing is sealed, or the student has no sealed event.
            NotProven: the database has not the key that signed.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise Conflict(f"{folder} exists and is not empty.", help="Name a folder that does not exist yet.")
        fresh = folder.with_name(f".{folder.name}.{new_id().hex}")
        try:
            fresh.mkdir(parents=True)
            info = self._write(fresh, student, since, progress)
            if folder.exists():
                folder.rmdir()
            fresh.rename(folder)
        except OSError as error:
            raise SettingsError(
                f"The pack cannot be written to {folder} ({error.strerror}).", help="Name another folder."
            ) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return info

    def _write(self, folder: Path, student: UUID | None, since: int, progress: Progress | None) -> PackInfo:
        with translated(), self._database.connect("sealer") as connection:
            stored = newest(connection, self._database)
            if stored is None or since > stored.size:
                raise NotFound("Nothing of that is sealed yet.", help="Wait a second; a sealer must be running.")
            cursor = connection.execute(self._database.bind(SELECT_COSIGNATURES), (stored.size,), binary=True)
            note = stored.note + b"".join([bytes(line) for (line,) in cursor.fetchall()])
            checkpoint = Checkpoint.parse(parse_note(stored.note).text)
            if student is None:
                self._write_log(connection, folder, stored.size, since, progress)
            else:
                self._write_student(connection, folder, note, student, (since, stored.size), progress)
            listed = connection.execute(self._database.bind(SELECT_KEYS)).fetchall()
            verifiers = signers_among([text for (text,) in listed], stored.note)
            if not verifiers:
                raise NotProven("No listed key has signed the newest checkpoint.", help="Run `ledger verify`.")
        info = PackInfo(FORMAT, "log" if student is None else "student", checkpoint.origin, checkpoint.size, since)
        (folder / "checkpoint").write_bytes(note)
        (folder / "keys").write_text("".join(f"{verifier}\n" for verifier in reversed(verifiers)), encoding="ascii")
        (folder / "pack.json").write_bytes(msgspec.json.format(msgspec.json.encode(info)) + b"\n")
        told = README.format_map(OF_LOG if student is None else OF_STUDENT)
        (folder / "README.md").write_text(told, encoding="utf-8")
        write_sums(folder)
        return info

    def _write_log(
        self, connection: psycopg.Connection[Row], folder: Path, size: int, since: int, progress: Progress | None
    ) -> None:
        tiles, bundles = list(tiles_of(size)), bundles_of(size, since)
        total = len(tiles) + len(bundles)
        for at in range(0, len(tiles), CHUNK):
            load = load_tiles(connection, self._database, tiles[at : at + CHUNK])
            for tile in tiles[at : at + CHUNK]:
                _put(folder, tile, load(tile))
            if progress is not None:
                progress(min(at + CHUNK, len(tiles)), total)
        for done, bundle in enumerate(bundles, len(tiles) + 1):
            first = bundle.number * 256
            entries = self._entries(connection, SELECT_SPAN, (first, first + bundle.width))
            _put(folder, bundle, write_bundle([encode_entry(entry) for entry in entries]))
            if progress is not None:
                progress(done, total)

    def _write_student(
        self,
        connection: psycopg.Connection[Row],
        folder: Path,
        note: bytes,
        student: UUID,
        span: tuple[int, int],
        progress: Progress | None,
    ) -> None:
        since, size = span
        entries = self._entries(connection, _OF_SUBJECT, (student, since - 1, size))
        if not entries:
            raise NotFound("There is no sealed event of this student.", help="Check the id and --since.")
        (folder / "entries").mkdir()
        (folder / "receipts").mkdir()

        def prove(nodes: Nodes) -> list[list[bytes]]:
            return [inclusion_proof(nodes, entry.position - 1, size) for entry in entries]

        proofs = prove(load_nodes(connection, self._database, size, prove))
        for done, (entry, path) in enumerate(zip(entries, proofs, strict=True), 1):
            receipt = Receipt(entry.position - 1, tuple(path), note)
            (folder / "entries" / str(entry.position)).write_bytes(encode_entry(entry))
            (folder / "receipts" / f"{entry.position}.tlog-proof").write_bytes(bytes(receipt))
            if progress is not None:
                progress(done, len(entries))

    def _entries(self, connection: psycopg.Connection[Row], query: str, parameters: tuple[object, ...]) -> list[Entry]:
        cursor = connection.execute(self._database.bind(query), parameters, prepare=True, binary=True)
        return [Entry._make(row) for row in cursor.fetchall()]


def _put(folder: Path, tile: Tile, data: bytes) -> None:
    path = folder / tile.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
