"""Where receipts come from. Only the gate and the opening import this; an import contract says so."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from ledger.receipt import Disclosure

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from ledger.store.commands import Recorded

KEPT = 8
"""Receipts of one request that stay good beside each other; a stream of pages mints one for each page."""

_minted: ContextVar[tuple[Disclosure, ...]] = ContextVar("minted", default=())
"""The receipts of this request. A request has a context of its own, so no other one finds them here."""


def mint(
    access_id: UUID, actor: UUID, students: Iterable[UUID], categories: Iterable[str], recorded: Recorded
) -> Disclosure:
    """Returns the receipt of a recorded access, good in the context of whoever calls this."""
    receipt = object.__new__(Disclosure)
    values = {
        "access_id": access_id,
        "actor": actor,
        "students": frozenset(students),
        "categories": frozenset(categories),
        "first": recorded.first_position,
        "position": recorded.position,
        "committed_at": recorded.recorded_at,
    }
    for name, value in values.items():
        object.__setattr__(receipt, name, value)
    _minted.set((*_minted.get()[1 - KEPT :], receipt))
    return receipt


def is_of_this_request(receipt: Disclosure) -> bool:
    """Tells whether it is a receipt, the very one, that the gate minted for the request that is being answered."""
    return any(receipt is minted for minted in _minted.get())
