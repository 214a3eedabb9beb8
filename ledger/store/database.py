"""Connections to the ledger's database, each in the role of the part that uses it.

A part never works as the owner: after connecting it takes on the role whose rights it needs (`SET ROLE` by connection
option), so a fault in the writer cannot change what only the projector may. In production each role can have a login of
its own. One place translates the driver's errors, so that no other room knows them.

The URL may name several hosts: a primary and its standbys. They are tried in order, and only one that takes writes
counts, for readers too: whoever authorised or verified from a standby would judge by a past that others have left.
"""

from __future__ import annotations

import asyncio
import select
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ledger.errors import SettingsError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONNECT_TIMEOUT_S = 10
CONNECT_TIMEOUT_EACH_S = 3
"""For each of several hosts: one that is switched off must not keep the others waiting."""

POOL_TIMEOUT_S = 10.0
RECONNECT_S = 2.0
"""How long a pool tries by itself, with growing pauses; after that the next request tries at once."""

STATEMENT_S = 30.0
HISTORY_FACTOR = 20
"""Whoever reads whole histories (projector, audit, sealer, eraser) may take so much longer for a statement."""

_NETWORK: Mapping[str, int] = {
    "keepalives": 1,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""A server that vanished without a word (power, cable, firewall) is noticed within half a minute, waiting or sending.
libpq's names; what the operator's own URL says holds. They mean nothing on a Unix socket."""

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Database:
    """Where a ledger lives: a libpq URL and its schema.

    Args:
        url: of a login that is a member of the ledger's roles (the owner, or one login for each).
        schema: `[a-z][a-z0-9_]*`, at most 40 characters; settings check it before it gets here.
        statement_s: how long a statement of the writer or a reader may take before the server cancels it.
        pool_s: how long one waits for a free connection of a pool.
    """

    url: str
    schema: str
    statement_s: float = STATEMENT_S
    pool_s: float = POOL_TIMEOUT_S

    def _options(self, role: str) -> str:
        settings = {
            "search_path": self.schema,
            "timezone": "UTC",
            "jit": "off",
            "idle_in_transaction_session_timeout": "60s",
        }
        if role == "writer":
            # The writer looks things up by key: a plan made while a table was small must serve when it is large.
            # Planning anew for each call would cost more than most of its calls.
            settings |= {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
            settings["plan_cache_mode"] = "force_generic_plan"
        if role == "reader":
            # What readers prepare outlives a reading: planned while a table was small, it would go on reading all of it
            # when it is large, until that is analysed. A table for which no index serves is read whole all the same.
            settings["enable_seqscan"] = "off"
        if role in {"writer", "sealer"}:
            # Set here, it outranks the server's file, the database and the login: with `local` a commit would be
            # acknowledged, or a checkpoint published, that a synchronous standby does not have.
            settings["synchronous_commit"] = "on"
        if role != "owner":
            settings["ledger.knows_view_versions"] = "on"  # see migrations 5 and 7
            factor = 1 if role in {"writer", "reader"} else HISTORY_FACTOR
            settings["statement_timeout"] = f"{round(self.statement_s * factor * 1000)}ms"
            settings["role"] = f"{self.schema}_{role}"
        return " ".join(f"-c {name}={value}" for name, value in settings.items())

    @contextmanager
    def _known_role(self, role: str) -> Iterator[None]:
        """Tells a server that does not know the role, or does not grant it, from one that does not answer.

        A refused start carries no SQLSTATE to the client; the message, in whatever language, names the role.
        """
        try:
            yield
        except psycopg.OperationalError as error:
            if f"{self.schema}_{role}" not in str(error):
                raise
            raise SettingsError(
                f"The database does not let us work as {self.schema}_{role}.",
                help="Run `ledger migrate` as the owner, and grant this role to the login of LEDGER_DATABASE_URL.",
            ) from error

    def connect(self, role: str) -> psycopg.Connection[Row]:
        """Returns a new connection (autocommit) in a role: owner, writer, reader, projector or eraser."""
        with translated(), self._known_role(role):
            return psycopg.connect(self.url, **self.arguments(role))

    async def connect_async(self, role: str) -> psycopg.AsyncConnection[Row]:
        """Returns a new asynchronous connection (autocommit) in a role."""
        with translated(), self._known_role(role):
            return await psycopg.AsyncConnection.connect(self.url, **self.arguments(role))

    def pool(self, role: str, size: int) -> AsyncConnectionPool[psycopg.AsyncConnection[Row]]:
        """Returns a pool of up to `size` connections in a role, to be opened by `async with`."""
        return LivelyPool(
            self.url,
            kwargs=self.arguments(role),
            min_size=1,
            max_size=size,
            open=False,
            timeout=self.pool_s,
            reconnect_timeout=RECONNECT_S,
        )

    def arguments(self, role: str) -> dict[str, Any]:
        """Returns the keyword arguments with which psycopg connects to the URL in a role."""
        login = conninfo_to_dict(self.url)
        arguments = {"autocommit": True, "options": self._options(role), "target_session_attrs": "read-write"}
        arguments |= {name: value for name, value in _NETWORK.items() if name not in login}
        if "connect_timeout" not in login:
            several = "," in str(login.get("host") or login.get("hostaddr") or "")
            arguments["connect_timeout"] = CONNECT_TIMEOUT_EACH_S if several else CONNECT_TIMEOUT_S
        return arguments

    def bind(self, text: str) -> sql.SQL:
        """Returns a query with `{schema}` filled in. The text is ours, never input."""
        return sql.SQL(text.replace("{schema}", self.schema))


@contextmanager
def translated() -> Iterator[None]:
    """Turns the driver's errors into the ledger's."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise SettingsError(
            "The database refuses the ledger's role.",
            help="Run `ledger migrate` as the owner, and grant the ledger's roles to the login of LEDGER_DATABASE_URL.",
        ) from error
    except psycopg.errors.InvalidParameterValue as error:
        raise SettingsError(
            "The ledger's roles or schema do not exist in this database.",
            help="Run `ledger migrate` first, as the owner of the database.",
        ) from error
    except psycopg.errors.ReadOnlySqlTransaction as error:
        raise _only_a_standby() from error
    except PoolTimeout as error:
        raise StoreUnavailable(
            "No connection to the database came free in time.",
            help="It is busy or does not answer: check that it runs; try again (see LEDGER_POOL_SECONDS).",
        ) from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        if "session is read-only" in str(error):
            raise _only_a_standby() from error
        raise StoreUnavailable(
            "The database does not answer.", help="Check that it runs and that LEDGER_DATABASE_URL is right; try again."
        ) from error


def _only_a_standby() -> StoreUnavailable:
    return StoreUnavailable(
        "The database takes no writes: only a standby answers.",
        help="Promote a standby (docs/failover.md), or name the primary in LEDGER_DATABASE_URL too; try again.",
    )


class LivelyPool(AsyncConnectionPool[psycopg.AsyncConnection[Row]]):
    """A pool that replaces connections whose server has gone before anybody meets them, and at once.

    The library's own `check` rests a second after the first dead connection, two after the next and so on; whoever
    reads first after a restart of the database would meet all of them.

    It hands out the connection that came back last, not the one that has rested longest: with few readers a few server
    processes do all the work, and what they need is still in the processor's caches.
    """

    async def getconn(self, timeout: float | None = None) -> psycopg.AsyncConnection[Row]:  # noqa: ASYNC109 - the library's own
        """Returns a connection that lives, as far as can be told without asking its server."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self.timeout if timeout is None else timeout)
        while True:
            self._pool.rotate(1)  # the newest to the front, where the library takes from
            connection = await super().getconn(deadline - loop.time())
            try:
                if await _lives(connection):
                    return connection
                await connection.close()
            except BaseException:  # whoever waited was cancelled: the connection is the pool's all the same
                await self.putconn(connection)
                raise
            await self.putconn(connection)  # which makes another one in its place


async def _lives(connection: psycopg.AsyncConnection[Row]) -> bool:
    """Tells whether a pooled connection still has its server.

    An idle connection has nothing to read unless its server closed it or told of a setting; only then is it worth the
    round trip.
    """
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if not poll.poll(0):
        return True
    try:
        await AsyncConnectionPool.check_connection(connection)
    except psycopg.Error:
        return False
    return True
