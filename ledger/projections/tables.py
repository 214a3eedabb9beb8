"""Rows of a view in the database: sealing, opening, and one statement for many rows each way."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from ledger.errors import Unreadable
from ledger.projections.view import Key, Row, Table, View
from ledger.store.arrays import PackedArray, byteas, dates, int4s, int8s, texts, uuids
from ledger.store.keyring import DataKey, KeyNumber, Keyring, nonces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_encoder = msgspec.msgpack.Encoder(uuid_format="bytes", decimal_format="string", order="deterministic")


_PACKERS: Mapping[str, Callable[[Any], PackedArray]] = {
    "uuid": uuids,
    "text": texts,
    "bigint": int8s,
    "integer": int4s,
    "date": dates,
    "bytea": byteas,
}


def _array(kind: str, column: tuple[object, ...]) -> object:
    """Returns a column as an array parameter: packed in one go where its type can be and nothing is missing."""
    packer = _PACKERS.get(kind)
    # Not `None in column`: it compares what is there with None, and that of an id runs in Python.
    if packer is None or [value for value in column if value is None]:
        return list(column)
    return packer(column)


def row_bytes(table: Table, row: Row) -> bytes:
    """Returns what is sealed of a row: its body."""
    return _encoder.encode(row.body) if table.body is not None else b""


def associated(view: str, table: str, key: Key, row: Row) -> bytes:
    """Returns what a sealed row is bound to: its view, table, key, subject, class, position and clear columns."""
    bound = (view, table, key, row.subject_id, row.record_class, row.position, row.clear)
    return b"row\x01" + _encoder.encode(bound)


# Names of tables, columns and types come from the views' own definitions, never from input: S608 does not apply here.
# ruff: noqa: S608
class TableStore:
    """One table of a view: its statements, and rows to parameters and back.

    Args:
        view: the view that the table belongs to; its name is part of what rows are bound to.
        schema: where the table lives (the view's schema, or its shadow during a rebuild).
    """

    def __init__(self, view: View, table: Table, schema: str) -> None:
        self._view = view.name
        self.table = table
        keys = [column.name for column in table.key]
        clear = [column.name for column in table.clear]
        sealed = ["sealed"] if table.body is not None else []
        columns = [*keys, *clear, "subject_id", "record_class", "position", *sealed]
        types = [column.type for column in (*table.key, *table.clear)]
        types += ["uuid", "text", "bigint", *("bytea" for _ in sealed)]
        self.types = tuple(types)
        self._key_width, self._clear_width = len(keys), len(clear)
        self._decoder: msgspec.msgpack.Decoder[Any] | None = (
            msgspec.msgpack.Decoder(table.body) if table.body is not None else None
        )
        name = f"{schema}.{table.name}"
        unnest = ", ".join(f"%b::{kind}[]" for kind in types)
        updates = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in keys)
        self.columns = ", ".join(columns)
        self.qualified = name
        self.upsert = (
            f"INSERT INTO {name} ({self.columns}) SELECT * FROM unnest({unnest})"
            f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {updates}"
        )
        wanted = ", ".join(f"%b::{column.type}[]" for column in table.key)
        selected = ", ".join(f"t.{column}" for column in columns)
        matches = " AND ".join(f"t.{key} = k.{key}" for key in keys)
        self.select_keys = (
            f"SELECT {selected} FROM unnest({wanted}) AS k ({', '.join(keys)}) JOIN {name} t ON {matches}"
        )
        self.select_all = f"SELECT {self.columns} FROM {name}"

    def parameters(self, rows: Sequence[tuple[Key, Row]], keyring: Keyring) -> list[object]:
        """Returns the rows, sealed, as the columns of `upsert`."""
        values = [(*key, *row.clear, row.subject_id, row.record_class, row.position) for key, row in rows]
        columns = list(zip(*values, strict=True))
        if self.table.body is not None:
            columns.append(tuple(self._sealed(rows, keyring)))
        return [_array(kind, column) for kind, column in zip(self.types, columns, strict=True)]

    def _sealed(self, rows: Sequence[tuple[Key, Row]], keyring: Keyring) -> list[bytes]:
        """Returns the bodies of rows, each sealed with its own key."""
        sealed = []
        for (key, row), nonce in zip(rows, nonces(len(rows)), strict=True):
            data_key = keyring.get(row.subject_id, row.record_class)
            bound = associated(self._view, self.table.name, key, row)
            sealed.append(data_key.seal(row_bytes(self.table, row), bound, nonce))
        return sealed

    def key_parameters(self, keys: Sequence[Key]) -> list[object]:
        """Returns keys as the columns of `select_keys`."""
        types = self.types[: self._key_width]
        return [_array(kind, column) for kind, column in zip(types, zip(*keys, strict=True), strict=True)]

    def subject(self, stored: tuple[Any, ...]) -> tuple[UUID, str]:
        """Returns whose row it is and under which class, before it is opened."""
        at = self._key_width + self._clear_width
        return stored[at], stored[at + 1]

    def names(self, stored: Iterable[tuple[Any, ...]]) -> Counter[KeyNumber]:
        """Returns under whose keys and which classes rows are sealed, and how many under each."""
        at = self._key_width + self._clear_width
        return Counter([(row[at].int, row[at + 1]) for row in stored])

    def position(self, stored: tuple[Any, ...]) -> int:
        """Returns the position of the event that changed the row last."""
        return int(stored[self._key_width + self._clear_width + 2])

    def open(self, stored: tuple[Any, ...], keyring: Keyring) -> tuple[Key, Row]:
        """Returns a stored row, opened.

        Raises:
            Unreadable: it was altered, moved, or its key is another one; Erased: its key is gone.
        """
        return self._opened(stored, keyring.get(*self.subject(stored)))

    def open_all(
        self, stored: Sequence[tuple[Any, ...]], names: Mapping[KeyNumber, int], keyring: Keyring
    ) -> list[tuple[Key, Row]]:
        """Returns stored rows, opened, without those whose key is gone; keys are asked for together.

        Args:
            names: as `names` says of these rows.

        Raises:
            Unreadable: as `open` says.
        """
        at = self._key_width + self._clear_width
        opened, found = self._opened, keyring.several(names).get
        return [opened(row, key) for row in stored if (key := found((row[at].int, row[at + 1]))) is not None]

    def _opened(self, stored: tuple[Any, ...], data_key: DataKey) -> tuple[Key, Row]:
        """Returns a stored row, opened with its key; where nothing is sealed, it counts that the key is there."""
        width = self._key_width
        at = width + self._clear_width
        key, clear = stored[:width], stored[width:at]
        subject_id, record_class, position = stored[at : at + 3]
        if self._decoder is None:
            return key, Row(subject_id, record_class, position, clear)
        # As `associated` has it; a page of a journal has hundreds of rows, and each call counts.
        bound = (self._view, self.table.name, key, subject_id, record_class, position, clear)
        plaintext = data_key.open(stored[at + 3], b"row\x01" + _encoder.encode(bound))
        try:
            body = self._decoder.decode(plaintext)
        except msgspec.MsgspecError as error:
            raise Unreadable(
                f"A row of {self._view}.{self.table.name} is not of its shape.", help="Run `ledger rebuild`."
            ) from error
        return key, Row(subject_id, record_class, position, clear, body)
