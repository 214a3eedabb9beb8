"""Packed arrays: PostgreSQL reads what was packed, to the ends of what a type can say."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from ledger.store.arrays import byteas, dates, int2s, int4s, int8s, texts, uuids

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    import psycopg

    from ledger.store.arrays import PackedArray
    from ledger.store.database import Row


@pytest.mark.parametrize(
    ("kind", "pack", "values"),
    [
        ("uuid", uuids, [UUID(int=0), UUID(int=2**128 - 1)]),
        ("bytea", byteas, [b"", bytes(range(256))]),
        ("text", texts, ["", "зачёт", "'\"\\"]),
        ("bigint", int8s, [-(2**63), -1, 0, 2**63 - 1]),
        ("integer", int4s, [-(2**31), -1, 0, 2**31 - 1]),
        ("smallint", int2s, [-(2**15), 0, 2**15 - 1]),
        ("date", dates, [date.min, date(1999, 12, 31), date(2000, 1, 1), date(2028, 2, 29), date.max]),
    ],
    ids=["uuid", "bytea", "text", "bigint", "integer", "smallint", "date"],
)
@pytest.mark.parametrize("count", [0, None], ids=["empty", "full"])
def test_packed_array_is_read_as_what_was_packed(
    owner: psycopg.Connection[Row],
    kind: str,
    pack: Callable[[Sequence[Any]], PackedArray],
    values: list[Any],
    count: int | None,
) -> None:
    row = owner.execute(f"SELECT %b::{kind}[]", (pack(values[:count]),), binary=True).fetchone()
    assert row is not None
    assert row[0] == values[:count]
