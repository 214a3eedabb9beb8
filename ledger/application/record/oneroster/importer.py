"""The import of a package: file by file, row by row, restartable at any row.

A row's key is (source, file, sourcedId) and its content hash the row's digest, both stored as keyed hashes in the
idempotency table: an unchanged row adds nothing, a changed one is found to differ. Changes that are applied get the
next number behind the key. Ids of students, classes and works are read back from there too, so an interrupted import
goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol, cast
from uuid import UUID, uuid5

from ledger.application.record.command import Request, idempotency_of, record, submit
from ledger.application.record.oneroster.report import ImportReport, RowNote
from ledger.errors import InvalidInput, NotFound, Refused
from ledger.interchange.oneroster import RowError
from ledger.store.database import translated
from ledger.store.recorded import select_recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ledger.application.ledger import Ledger
    from ledger.application.record.command import RecordingCommand
    from ledger.interchange.oneroster import Row
    from ledger.policy.offices import Actor
    from ledger.store.commands import Recorded
    from ledger.streams.base import Context, Lanes, Proposal

CHUNK = 1_000
IN_FLIGHT = 4_000
MAX_NAME = 150
CLIENTS = UUID("6f6e6572-6f73-5465-8a3e-6c6564676572")
"""Namespace of the client ids under which imports keep their keys, one for each source."""


class RowCommands(Protocol):
    """What a row becomes: a command for a new row, and one for a changed row, or why not."""

    def new(self, row: Row) -> RecordingCommand | str:
        """Returns the command that records the row, or the reason why it cannot be recorded."""

    def changed(self, row: Row, reason: str) -> RecordingCommand | str:
        """Returns the command that applies a change of the row, or the reason why it cannot be applied."""

    def known(self, row: Row, recorded: Recorded) -> None:
        """Remembers what the row became, for the rows that refer to it."""

    def stands_already(self, refusal: Refused) -> bool:
        """Tells whether a refusal only says that the ledger has the thing already, from elsewhere."""


@dataclass(slots=True)
class _Remembering:
    """A command that remembers the flags of its last decision, which is the one that is recorded."""

    inner: RecordingCommand
    flags: tuple[str, ...] = ()

    @property
    def capability(self) -> str:
        return "imports"

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        proposals = self.inner.decide(lanes, context)
        found: dict[str, None] = {}
        for proposal in proposals:
            found.update(dict.fromkeys(cast("tuple[str, ...]", proposal.values.get("flags", ()))))
        self.flags = tuple(found)
        return proposals

    def cites(self, lanes: Lanes, context: Context) -> str | None:
        return self.inner.cites(lanes, context)


@dataclass(slots=True)
class _Sent:
    """A row under way."""

    row: Row
    commands: RowCommands
    command: _Remembering
    future: asyncio.Future[Recorded]
    change: bool


class RowImporter:
    """Sends rows through the executor, in order, many at a time.

    Args:
        reason: why changes are applied; None to list them only.
        progress: called with (file, rows done).
    """

    def __init__(
        self,
        ledger: Ledger,
        actor: Actor,
        source: str,
        *,
        reason: str | None = None,
        progress: Callable[[str, int], None] | None = None,
    ) -> None:
        self._ledger = ledger
        self._actor = actor
        self._client = uuid5(CLIENTS, source)
        self._reason = reason
        self._progress = progress
        self._sent: deque[_Sent] = deque()
        self._done = 0
        self.report = ImportReport()
        self._began = time.monotonic()

    async def send(self, file: str, rows: Iterator[Row | RowError], commands: RowCommands) -> None:
        """Imports the rows of a file and returns when all of them are durable."""
        self._done = 0
        chunk: list[Row] = []
        for row in rows:
            if isinstance(row, RowError):
                self._refuse(RowNote(row.file, row.row, row.sourced_id, row.reason))
                self._step(file)
                continue
            chunk.append(row)
            if len(chunk) == CHUNK:
                await self._send_chunk(chunk, commands)
                chunk = []
        await self._send_chunk(chunk, commands)
        await self._settle(0)
        self.report.seconds = time.monotonic() - self._began

    async def send_own(self, command: RecordingCommand, key: str) -> None:
        """Records a command that the import needs besides the rows, once for each key."""
        recorded = await record(
            self._ledger, command, Request(self._actor, key=key, client=self._client, imported=True)
        )
        if not recorded.repeated:
            self.report.events_added += recorded.count

    def count(self, row: Row) -> None:
        """Counts a row that other rows refer to and that has no event of its own."""
        self.report.rows[row.file] += 1

    def refuse(self, row: RowError) -> None:
        """Lists a row that cannot be read."""
        self._refuse(RowNote(row.file, row.row, row.sourced_id, row.reason))

    def pass_over(self, file: str) -> None:
        """Counts a row that is nobody's record here (a teacher's account, say)."""
        self.report.passed_over[file] += 1

    # --- one chunk --------------------------------------------------------------------------------------------------

    async def _send_chunk(self, rows: list[Row], commands: RowCommands) -> None:
        unsettled = await self._earlier(rows, 1)
        changed: list[Row] = []
        for row in rows:
            earlier = unsettled.get(row.sourced_id)
            if earlier is None:
                self._submit(row, commands, self._request(row, 1), change=False)
            else:
                commands.known(row, earlier[1])
                changed.append(row)
        await self._compare(changed, commands, {row.sourced_id: unsettled[row.sourced_id] for row in changed})
        await self._settle(IN_FLIGHT)

    async def _compare(self, rows: list[Row], commands: RowCommands, newest: dict[str, tuple[bytes, Recorded]]) -> None:
        """Finds the newest change that was applied to each row, and tells unchanged rows from those that differ."""
        number = 2
        open_rows = rows
        following: dict[str, int] = dict.fromkeys(newest, number)
        while open_rows:
            later = await self._earlier(open_rows, number)
            open_rows = [row for row in open_rows if row.sourced_id in later]
            for row in open_rows:
                newest[row.sourced_id] = later[row.sourced_id]
                following[row.sourced_id] = number + 1
            number += 1
        for row in rows:
            request = self._request(row, following[row.sourced_id])
            stored, _ = newest[row.sourced_id]
            if stored == self._ledger.hasher.request(row.digest):
                self.report.rows[row.file] += 1
                self.report.unchanged[row.file] += 1
                self._step(row.file)
            elif self._reason is None:
                self.report.rows[row.file] += 1
                self._differs(row, "The row differs from what was imported; use --apply-changes --reason.")
            else:
                self._submit(row, commands, request, change=True)

    async def _earlier(self, rows: list[Row], number: int) -> dict[str, tuple[bytes, Recorded]]:
        ids = {
            idempotency_of(self._ledger, self._request(row, number), self._key(row, number)).command_id: row.sourced_id
            for row in rows
        }
        if not ids:
            return {}
        with translated():
            async with self._ledger.keys.connection() as connection:
                found = await select_recorded(connection, self._ledger.database, list(ids))
        return {ids[command_id]: recorded for command_id, recorded in found.items()}

    @staticmethod
    def _key(row: Row, number: int) -> str:
        name = row.sourced_id
        if len(name) > MAX_NAME or not name.isprintable():
            name = sha256(name.encode()).hexdigest()  # longer than a client's key may be; only a hash is stored anyway
        # The number stands before the name: behind it, the change of one row could be another row's first import.
        return f"{row.file}/{name}" if number == 1 else f"{row.file}#{number}/{name}"

    def _request(self, row: Row, number: int) -> Request:
        return Request(self._actor, key=self._key(row, number), content=row.digest, client=self._client, imported=True)

    def _submit(self, row: Row, commands: RowCommands, request: Request, *, change: bool) -> None:
        command = commands.changed(row, self._reason or "") if change else commands.new(row)
        if isinstance(command, str):
            if change:
                self.report.rows[row.file] += 1
                self._differs(row, command)
            else:
                self._refuse(RowNote(row.file, row.row, row.sourced_id, command))
                self._step(row.file)
            return
        remembering = _Remembering(command)
        future = submit(self._ledger, remembering, request)
        self._sent.append(_Sent(row, commands, remembering, future, change))

    async def _settle(self, leave: int) -> None:
        """Waits until at most `leave` rows are under way, and counts what came back."""
        while len(self._sent) > leave:
            sent = self._sent.popleft()
            row = sent.row
            try:
                recorded = await sent.future
            except (Refused, InvalidInput, NotFound) as error:
                if isinstance(error, Refused) and sent.commands.stands_already(error):
                    self.pass_over(row.file)
                    self._step(row.file)
                    continue
                reason = f"{error.detail} Correct the row in the source system and import again."
                if sent.change:
                    self.report.rows[row.file] += 1
                    self._differs(row, f"The change cannot be applied: {error.detail}")
                else:
                    self._refuse(RowNote(row.file, row.row, row.sourced_id, reason))
                    self._step(row.file)
                continue
            if not sent.change:
                sent.commands.known(row, recorded)
            self.report.rows[row.file] += 1
            self.report.applied += sent.change
            self.report.flags.update(sent.command.flags)
            if not recorded.repeated:
                self.report.events_added += recorded.count
            self._step(row.file)

    # --- counting ---------------------------------------------------------------------------------------------------

    def _refuse(self, note: RowNote) -> None:
        self.report.refused.append(note)

    def _differs(self, row: Row, reason: str) -> None:
        self.report.differs.append(RowNote(row.file, row.row, row.sourced_id, reason))
        self._step(row.file)

    def _step(self, file: str) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(file, self._done)
