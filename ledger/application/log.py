"""The transparency log as it is served: checkpoint, tiles, entry bundles, verifier keys, receipts.

Nothing in a checkpoint, tile or receipt is about anybody: they are hashes, sizes and signatures. Entry bundles hold the
stored columns with their ciphertext, and go to those who may follow the feed.
"""

from __future__ import annotations

import asyncio
from functools import cache, partial
from typing import TYPE_CHECKING

from ledger.application.cosigning import read_witnesses
from ledger.application.disclose.feed import admit
from ledger.errors import Busy, NotFound, NotProven, SettingsError
from ledger.seal.entry import Entry, encode_entry
from ledger.seal.merkle import inclusion_proof
from ledger.seal.proof import Receipt
from ledger.seal.tiles import ENTRIES, WIDTH, Tile, parse_path, tile_at, tiled_nodes, tiles_needed, write_bundle
from ledger.store.database import translated
from ledger.store.lanes import SELECT_SPAN
from ledger.store.log_files import (
    SELECT_CHECKPOINT,
    SELECT_COSIGNATURES,
    SELECT_KEYS,
    SELECT_NEWEST,
    SELECT_TILES,
    signers_among,
    tile_keys,
    tiles_from,
)
from ledger.store.tail import LAST, Tail
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from ledger.application.disclose.gate import Reader
    from ledger.application.ledger import Ledger
    from ledger.seal.merkle import Nodes
    from ledger.settings import Settings
    from ledger.store.database import Database, Row

logger = get_logger(__name__)

LATER_S = 10
"""When somebody should ask again who cannot be told who the witnesses are."""

TOGETHER = 64
"""Receipts that are made without letting others have their turn."""

_SEALED = "SELECT coalesce(max(size), 0) FROM {schema}.log_checkpoints"
_VOUCHED = (
    "SELECT coalesce((SELECT size FROM {schema}.log_cosignatures WHERE witness = ANY(%b::text[]) GROUP BY size"
    " HAVING count(*) >= %b ORDER BY size DESC LIMIT 1), 0)"
)


def watch_seal(database: Database, settings: Settings) -> Tail:
    """Returns what wakes those who wait for receipts: it follows the newest checkpoint that has its quorum."""
    return Tail(database, partial(_look, settings), channel="{schema}_log")


def _look(settings: Settings) -> tuple[str, tuple[object, ...]]:
    """Returns the query, with its parameters, of the size for which receipts are handed out.

    Raises:
        Busy: witnesses must vouch, and who they are cannot be read now; everything else goes on.
    """
    if not settings.witness_quorum:
        return _SEALED, ()
    try:
        names = [str(witness.key) for witness in read_witnesses(settings.witness_file)]
    except SettingsError as error:
        logger.critical(error.detail, help=error.help)
        raise Busy(
            "No receipts are handed out: who the witnesses are cannot be read here.",
            help="What was recorded stays recorded. Ask again later; `/readyz` says when it is over.",
            retry_after=LATER_S,
        ) from error
    return _VOUCHED, (names, settings.witness_quorum)


async def read_checkpoint(ledger: Ledger) -> bytes:
    """Returns the newest checkpoint, signed, with the cosignatures that witnesses gave for it.

    Raises:
        NotFound: nothing has been sealed yet.
    """
    with translated():
        async with ledger.pool.connection() as connection:
            _, note = await _newest(ledger, connection)
    return note


async def _vouched(ledger: Ledger, connection: psycopg.AsyncConnection[Row]) -> tuple[int, bytes]:
    """Returns the newest checkpoint for which enough witnesses vouch; size 0 where there is none."""
    query, parameters = _look(ledger.settings)
    cursor = await connection.execute(ledger.database.bind(query), parameters, prepare=True, binary=True)
    row = await cursor.fetchone()
    if row is None or not row[0]:
        return 0, b""
    cursor = await connection.execute(ledger.database.bind(SELECT_CHECKPOINT), (row[0],), binary=True)
    return await _with_cosignatures(ledger, connection, await cursor.fetchone())


async def _newest(ledger: Ledger, connection: psycopg.AsyncConnection[Row]) -> tuple[int, bytes]:
    cursor = await connection.execute(ledger.database.bind(SELECT_NEWEST), binary=True)
    return await _with_cosignatures(ledger, connection, await cursor.fetchone())


async def _with_cosignatures(
    ledger: Ledger, connection: psycopg.AsyncConnection[Row], row: Row | None
) -> tuple[int, bytes]:
    if row is None:
        raise NotFound("Nothing has been sealed yet.", help="Ask again in a second; a sealer must be running.")
    cursor = await connection.execute(ledger.database.bind(SELECT_COSIGNATURES), (row[0],), binary=True)
    return row[0], bytes(row[2]) + b"".join([bytes(line) for (line,) in await cursor.fetchall()])


async def read_keys(ledger: Ledger) -> list[str]:
    """Returns the verifier keys that sign the log, oldest first; all listed ones where nothing is sealed yet.

    One that is listed and has not signed the newest checkpoint is not shown: anybody who owns the database can write
    into the list. Whoever verifies takes the keys from another place, and compares.
    """
    with translated():
        async with ledger.pool.connection() as connection:
            listed = await (await connection.execute(ledger.database.bind(SELECT_KEYS))).fetchall()
            row = await (await connection.execute(ledger.database.bind(SELECT_NEWEST), binary=True)).fetchone()
    keys = [text for (text,) in listed]
    return keys if row is None else signers_among(keys, bytes(row[2]))


async def read_tile(ledger: Ledger, path: str) -> bytes:
    """Returns a tile of hashes.

    Raises:
        NotFound: the log has no such tile (yet).
    """
    tile = _tile(path)
    if tile.level == ENTRIES:
        raise NotFound("Entry bundles have an address of their own.", help="GET /log/tile/entries/…, with a token.")
    with translated():
        async with ledger.pool.connection() as connection:
            size, _ = await _newest(ledger, connection)
            _check_reached(tile, size)
            cursor = await connection.execute(ledger.database.bind(SELECT_TILES), tile_keys([tile]), binary=True)
            return tiles_from(await cursor.fetchall())(tile)


async def read_bundle(ledger: Ledger, reader: Reader, path: str) -> bytes:
    """Returns an entry bundle, made from the events as they are stored now.

    Raises:
        Forbidden: the reader may not follow the feed (recorded). NotFound: the log has no such bundle (yet).
    """
    await admit(ledger, reader)
    tile = _tile(path)
    first = tile.number * WIDTH
    with translated():
        async with ledger.keys.connection() as connection:
            size, _ = await _newest(ledger, connection)
            _check_reached(tile, size)
            cursor = await connection.execute(
                ledger.database.bind(SELECT_SPAN), (first, first + tile.width), prepare=True, binary=True
            )
            entries = [Entry._make(row) for row in await cursor.fetchall()]
    if len(entries) != tile.width:
        raise NotProven("Sealed events are missing from the database.", help="Run `ledger verify`.")
    return write_bundle([encode_entry(entry) for entry in entries])


def _tile(path: str) -> Tile:
    try:
        return parse_path(path)
    except NotProven as error:
        raise NotFound(error.detail, help=error.help) from error


def _check_reached(tile: Tile, size: int) -> None:
    try:
        there = tile_at(tile.level, tile.number, size)
    except NotProven as error:
        raise NotFound(error.detail, help=error.help) from error
    if tile.width > there.width:
        raise NotFound("The log has no tile of that width yet.", help="Ask again when the log has grown.")


async def read_receipt(ledger: Ledger, position: int, *, wait_s: float = 0) -> bytes:
    """Returns the receipt (.tlog-proof) of an event: its proof of inclusion and the checkpoint that it leads to.

    Args:
        position: the event's; its leaf is the one before.
        wait_s: how long to wait for a checkpoint that covers it.

    Raises:
        NotFound: there is no such event. Busy: it has not been sealed yet, or the list of witnesses cannot be read.
    """
    receipts = await _receipts(ledger, [position])
    if receipts is None and wait_s:
        receipts = await wait_for_receipts(ledger, [position], wait_s)
    if receipts is not None:
        return receipts[0]
    quorum = ledger.settings.witness_quorum
    if quorum:
        raise Busy(
            f"The event is recorded; {quorum} witnesses must vouch for it, and have not yet.",
            help="Ask again later for its receipt; GET /log/checkpoint shows who has vouched.",
        )
    raise Busy("The event has been recorded and not been sealed yet.", help="Ask again in a second for its receipt.")


async def wait_for_receipts(ledger: Ledger, positions: Sequence[int], seconds: float) -> list[bytes] | None:
    """Returns the receipts of recorded events once a checkpoint with its quorum covers them; None if none does in time.

    However many wait, the process looks for the next checkpoint once; and however many receipts one of them wants, they
    are made some at a time. So receipts of the last ones may lead to a later checkpoint than those of the first.

    Args:
        positions: ascending, at least one.
        seconds: how long to wait.
    """
    if not await ledger.sealed.wait(positions[-1] - 1, seconds):
        return None
    receipts: list[bytes] = []
    for begin in range(0, len(positions), TOGETHER):
        found = await _receipts(ledger, positions[begin : begin + TOGETHER])
        if found is None:
            return None
        receipts += found
        await asyncio.sleep(0)
    return receipts


async def _receipts(ledger: Ledger, positions: Sequence[int]) -> list[bytes] | None:
    """Returns the receipts of events under one checkpoint, or None where none covers them all yet."""
    last = positions[-1]

    def prove(nodes: Nodes, size: int) -> list[list[bytes]]:
        return [inclusion_proof(nodes, position - 1, size) for position in positions]

    with translated():
        async with ledger.keys.connection() as connection:
            size, note = await _vouched(ledger, connection)
            if last > size:
                row = await (await connection.execute(ledger.database.bind(LAST))).fetchone()
                if row is None or last > row[0]:
                    raise NotFound("There is no event at this position.", help="The newest one: GET /readyz.")
                return None
            needed = tiles_needed(lambda nodes: prove(nodes, size), size)
            load = tiles_from(())
            if needed:
                cursor = await connection.execute(ledger.database.bind(SELECT_TILES), tile_keys(needed), binary=True)
                load = tiles_from(await cursor.fetchall())
    paths = prove(cache(tiled_nodes(load, size)), size)  # paths of neighbours share most of their nodes
    return [bytes(Receipt(position - 1, tuple(path), note)) for position, path in zip(positions, paths, strict=True)]
