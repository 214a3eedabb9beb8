"""The log in the database: its tiles, checkpoints and cosignatures, as the sealer writes and everybody reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ledger.errors import NotProven
from ledger.seal.note import VerifierKey, parse_note, verified_by
from ledger.seal.strict import HASH_BYTES
from ledger.seal.tiles import Tile, tiled_nodes, tiles_needed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import psycopg

    from ledger.seal.merkle import Nodes
    from ledger.store.database import Database, Row

SELECT_TILES = (
    "SELECT t.level, t.number, t.hashes FROM unnest(%b::smallint[], %b::bigint[]) AS k (level, number)"
    " JOIN {schema}.log_tiles t ON t.level = k.level AND t.number = k.number"
)
SELECT_NEWEST = "SELECT size, root, note FROM {schema}.log_checkpoints ORDER BY size DESC LIMIT 1"
SELECT_CHECKPOINT = "SELECT size, root, note FROM {schema}.log_checkpoints WHERE size = %b"
SELECT_COSIGNATURES = "SELECT line FROM {schema}.log_cosignatures WHERE size = %b ORDER BY witness"
SELECT_KEYS = "SELECT verifier FROM {schema}.log_keys ORDER BY added_at, verifier"
GROW_TILES = (
    "INSERT INTO {schema}.log_tiles (level, number, hashes)"
    " SELECT * FROM unnest(%b::smallint[], %b::bigint[], %b::bytea[])"
    " ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes"
)


class StoredCheckpoint(NamedTuple):
    """A checkpoint as it is stored: size, root, and the note of the log alone."""

    size: int
    root: bytes
    note: bytes


def tile_keys(tiles: Iterable[Tile]) -> tuple[list[int], list[int]]:
    """Returns the arguments of SELECT_TILES."""
    listed = list(dict.fromkeys((tile.level, tile.number) for tile in tiles))
    return [level for level, _ in listed], [number for _, number in listed]


def tiles_from(rows: Iterable[Row]) -> Callable[[Tile], bytes]:
    """Returns the loader of the rows that SELECT_TILES found; a partial tile is the beginning of its row."""
    found = {(level, number): bytes(hashes) for level, number, hashes in rows}

    def load(tile: Tile) -> bytes:
        hashes = found.get((tile.level, tile.number), b"")[: tile.width * HASH_BYTES]
        if len(hashes) != tile.width * HASH_BYTES:
            raise NotProven(f"The tile {tile.path} is missing or cut off in the database.", help="Run `ledger verify`.")
        return hashes

    return load


def load_nodes(
    connection: psycopg.Connection[Row], database: Database, size: int, computation: Callable[[Nodes], object]
) -> Nodes:
    """Returns the nodes of the tree of `size` leaves that a computation asks for."""
    return tiled_nodes(load_tiles(connection, database, tiles_needed(computation, size)), size)


def load_tiles(
    connection: psycopg.Connection[Row], database: Database, tiles: Iterable[Tile]
) -> Callable[[Tile], bytes]:
    """Returns the loader of these tiles, read at once."""
    cursor = connection.execute(database.bind(SELECT_TILES), tile_keys(tiles), binary=True)
    return tiles_from(cursor.fetchall())


def newest(connection: psycopg.Connection[Row], database: Database) -> StoredCheckpoint | None:
    """Returns the newest checkpoint, or None while nothing has been sealed."""
    row = connection.execute(database.bind(SELECT_NEWEST)).fetchone()
    return StoredCheckpoint(row[0], bytes(row[1]), bytes(row[2])) if row else None


def signers_among(listed: Iterable[str], note: bytes) -> list[str]:
    """Returns those of the listed keys whose signatures stand under a checkpoint, in their order.

    No hash covers the list: a key that is only written there is nobody's to be shown as the log's.
    """
    signed, found = parse_note(note), list[str]()
    for text in listed:
        try:
            if verified_by(signed, [VerifierKey.parse(text)]):
                found.append(text)
        except NotProven:
            continue  # no key, or not its signature: `ledger verify` names it
    return found
