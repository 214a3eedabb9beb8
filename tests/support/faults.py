"""Faults that can be planted in the processes of a ledger, to see whether anybody notices.

    with planted("idempotency is forgotten"):
        ...

Each is a small change of the real thing, such as a careless hand could make. A process of its own plants it when it
begins (`plant`).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ledger.application.record.precondition import Demand
from ledger.clock import utc_now
from ledger.projections.store import ViewStore
from ledger.store import append as writing
from ledger.store import writer
from ledger.store.append import AppendBatch, AppendResult, Packed
from ledger.store.arrays import uuids
from ledger.store.batch import Decided, Written, answer_batch
from ledger.store.writer import BatchWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from ledger.projections.view import Fact
    from ledger.store.database import Row

SKIPPED = 5
"""Each which event a careless projector passes over."""


def _acknowledges_early(patch: pytest.MonkeyPatch) -> None:
    send = BatchWriter.send

    async def early(self: BatchWriter, connection: Any, decided: list[Decided], written: Written) -> Any:  # noqa: ANN401 - as the real one
        answer_batch(decided, AppendResult("appended", self.seen + len(written.columns), utc_now(), (), ()))
        return await send(self, connection, decided, written)

    patch.setattr(BatchWriter, "send", early)


def _forgets_keys(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AppendBatch, "add_command", lambda *_: None)


def _sends_again_unseen(patch: pytest.MonkeyPatch) -> None:
    async def nothing_happened(self: BatchWriter, _: Any, batch: list[Any], __: float) -> list[Any]:  # noqa: ANN401 - as the real one
        self.unsettled = None
        return batch

    patch.setattr(BatchWriter, "_settle", nothing_happened)


def _overlooks_others(patch: pytest.MonkeyPatch) -> None:
    append = writing.append

    async def careless(connection: Any, query: Any, seen: int, arguments: Packed) -> AppendResult:  # noqa: ANN401 - as the real one
        return replace(await append(connection, query, seen, (uuids([]), *arguments[1:])), moved=())

    patch.setattr(writer, "append", careless)


def _overlooks_conditions(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Demand, "check", lambda *_, **__: None)


def _skips_events(patch: pytest.MonkeyPatch) -> None:
    apply = ViewStore.apply

    def careless(self: ViewStore, connection: psycopg.Connection[Row], facts: list[Fact]) -> None:
        apply(self, connection, [fact for fact in facts if fact.entry.position % SKIPPED])

    patch.setattr(ViewStore, "apply", careless)


FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "answers leave before the commit": _acknowledges_early,
    "idempotency is forgotten": _forgets_keys,
    "a lost answer is taken for a lost command": _sends_again_unseen,
    "what others recorded meanwhile is overlooked": _overlooks_others,
    "If-Match is overlooked": _overlooks_conditions,
    "the projector skips events": _skips_events,
}


@contextmanager
def planted(fault: str | None) -> Iterator[None]:
    """Plants a fault for as long as the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        if fault is not None:
            FAULTS[fault](patch)
        yield


def plant(fault: str | None) -> None:
    """Plants a fault in a process, for good."""
    if fault is not None:
        FAULTS[fault](pytest.MonkeyPatch())
