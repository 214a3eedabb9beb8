"""The receipt of a disclosure: without one nothing personal is opened for reading.

A receipt cannot be made by calling its class, changed, copied or stored. Only the gate mints one, after its commit
(`application/disclose/minting.py`, which nothing else may import), and it is good for the request in which it was
minted. It is a claim and no proof: what it opens is read from the committed events that it names.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NoReturn, final

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

LIFETIME: Final = timedelta(seconds=60)
"""How long after its commit a disclosure opens something."""


@final
class Disclosure:
    """A committed disclosure.

    Attributes:
        access_id: stream of the `AccessOpened` event.
        actor: who asked.
        students: whose data were disclosed.
        categories: the record classes.
        first: position of the `AccessOpened` event.
        position: of the last event of the access; the view that serves the read need not have reached it.
        committed_at: when it was committed, by the database's clock.
    """

    __slots__ = ("__weakref__", "access_id", "actor", "categories", "committed_at", "first", "position", "students")

    access_id: UUID
    actor: UUID
    students: frozenset[UUID]
    categories: frozenset[str]
    first: int
    position: int
    committed_at: datetime

    def __new__(cls) -> Disclosure:
        """Refuses: the gate mints receipts."""
        message = "Only the gate mints receipts, once the disclosure has been committed."
        raise TypeError(message)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        message = "A receipt is never changed."
        raise AttributeError(message)

    def __delattr__(self, name: str) -> NoReturn:
        message = "A receipt is never changed."
        raise AttributeError(message)

    def __reduce__(self) -> NoReturn:
        """Refuses copies and pickles."""
        message = "A receipt is never copied or stored."
        raise TypeError(message)

    def __init_subclass__(cls) -> NoReturn:
        message = "There is one kind of receipt."
        raise TypeError(message)
