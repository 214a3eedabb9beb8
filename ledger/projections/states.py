"""What can be told of every view: how far it is, who follows or makes it, and what stopped it. Nothing personal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from psycopg import sql

from ledger.projections.tracking import COLUMNS, Tracked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

    from ledger.projections.view import View
    from ledger.store.database import Database, Row

_SELECT = f"""
SELECT {COLUMNS}, EXISTS (
    SELECT FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND l.classid::bigint << 32 | l.objid::bigint = hashtextextended(
            '{{schema}}_' || view || '_v' || version || CASE WHEN shadow THEN '_shadow' ELSE '' END, 0
        )
)
FROM {{schema}}.tracking
"""  # noqa: S608 - names of ours


class Stage(StrEnum):
    """What a view is doing."""

    FOLLOWING = "following"
    """It is served, and a projector follows the history."""
    IDLE = "idle"
    """It is served at its position; no projector follows."""
    REBUILDING = "rebuilding"
    """It is served, and being made anew beside that."""
    MAKING = "making"
    """It is not served yet: its first rows are being made, or wait for a projector to go on."""
    MISSING = "missing"
    """Nobody has begun to make it."""
    FAILED = "failed"
    """An event has stopped it; it is tried again from time to time."""


@dataclass(frozen=True, slots=True)
class ViewState:
    """A view of this version of the ledger.

    Args:
        position: up to where it is served; None where it is not.
        lag: how many events that is behind; the whole history where it is not served.
        made: up to where what is being made beside it has come; None where nothing is.
        last: the newest event, which both go towards.
        rows: of all its tables as they are served; None where they were not counted.
        failed_position: the event that stopped it, its id and topic, the kind of error, and when; no stored value.
        stopped: the same in a sentence; empty where nothing did.
        other_versions: those of which tables are there as well, for processes of other versions.
    """

    name: str
    version: int
    stage: Stage
    position: int | None
    lag: int
    made: int | None
    last: int
    rows: int | None = None
    failed_position: int | None = None
    failed_event: UUID | None = None
    failed_topic: str | None = None
    failed_error: str | None = None
    failed_at: datetime | None = None
    stopped: str = ""
    other_versions: tuple[int, ...] = ()

    @property
    def made_share(self) -> float | None:
        """How much of the history has been worked through of what is being made, from 0 to 1."""
        return None if self.made is None else min(self.made / self.last, 1.0) if self.last else 1.0


async def read_states(
    connection: psycopg.AsyncConnection[Row], database: Database, views: Sequence[View], last: int, *, counting: bool
) -> list[ViewState]:
    """Returns the states of the views, on a connection of the reader role.

    Args:
        last: the position of the newest event, read before.
        counting: whether their rows are counted, which takes as long as they are many.
    """
    cursor = await connection.execute(database.bind(_SELECT), prepare=True)
    tracked = [(Tracked._make(row[:-1]), bool(row[-1])) for row in await cursor.fetchall()]
    states = [state_of(view, tracked, last) for view in views]
    if not counting:
        return states
    return [
        replace(state, rows=await _count(connection, database, view)) if state.position is not None else state
        for view, state in zip(views, states, strict=True)
    ]


async def _count(connection: psycopg.AsyncConnection[Row], database: Database, view: View) -> int:
    total = 0
    for table in view.tables:
        name = sql.Identifier(view.schema(database.schema), table.name)
        cursor = await connection.execute(sql.SQL("SELECT count(*) FROM {}").format(name))
        row = await cursor.fetchone()
        total += row[0] if row else 0
    return total


def state_of(view: View, tracked: Iterable[tuple[Tracked, bool]], last: int) -> ViewState:
    """Returns the state of a view.

    Args:
        tracked: every tracking row, and whether somebody follows or makes what it is about.
        last: the position of the newest event.
    """
    own = [(row, held) for row, held in tracked if row.view == view.name]
    live = next((pair for pair in own if pair[0].version == view.version and not pair[0].shadow), None)
    shadow = next((pair for pair in own if pair[0].version == view.version and pair[0].shadow), None)
    stopped = next((pair[0] for pair in (live, shadow) if pair and pair[0].failed_position is not None), None)
    if stopped is not None:
        stage = Stage.FAILED
    elif live is None:
        stage = Stage.MAKING if shadow else Stage.MISSING
    elif shadow is not None and shadow[1]:
        stage = Stage.REBUILDING
    else:
        stage = Stage.FOLLOWING if live[1] else Stage.IDLE
    position = live[0].position if live else None
    return ViewState(
        view.name,
        view.version,
        stage,
        position,
        max(last - (position or 0), 0),
        shadow[0].position if shadow else None,
        last,
        None,
        stopped.failed_position if stopped else None,
        stopped.failed_event if stopped else None,
        stopped.failed_topic if stopped else None,
        stopped.failed_error if stopped else None,
        stopped.failed_at if stopped else None,
        stopped.stopped if stopped else "",
        tuple(sorted({row.version for row, _ in own if row.version != view.version})),
    )
