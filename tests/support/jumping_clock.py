"""A clock of the database that jumps at a test's word.

`clock_timestamp()` of one database is taken over before the ledger is made in it: it is the host's clock, and so many
seconds as a table says. It stands in `pg_catalog` under the name that everybody asks for, so the ledger's own
functions, whose `search_path` begins there, need not be touched, and the clock jumps for all sessions at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

    from ledger.store.database import Row

_TAKE_OVER = (
    "CREATE TABLE public.clock (ahead interval NOT NULL)",
    "INSERT INTO public.clock VALUES ('0')",
    "GRANT SELECT ON public.clock TO PUBLIC",
    "ALTER FUNCTION pg_catalog.clock_timestamp() RENAME TO clock_of_the_host",
    """CREATE FUNCTION pg_catalog.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE
        AS 'SELECT pg_catalog.clock_of_the_host() + ahead FROM public.clock'""",
)


def take_over(owner: psycopg.Connection[Row]) -> None:
    """Takes the clock of a superuser's database over; the migrations come after."""
    owner.execute("SET allow_system_table_mods = on")
    for statement in _TAKE_OVER:
        owner.execute(statement.encode())


def jump(owner: psycopg.Connection[Row], seconds: float) -> None:
    """Lets the clock jump, back where `seconds` are negative."""
    owner.execute("UPDATE public.clock SET ahead = ahead + make_interval(secs => %s)", (seconds,))


def is_behind(owner: psycopg.Connection[Row]) -> float:
    """Returns how many seconds the clock is behind the last event; negative where it is ahead, as it should be."""
    row = owner.execute(
        "SELECT coalesce(extract(epoch FROM recorded_at - clock_timestamp()), -1)::float FROM events"
        " ORDER BY position DESC LIMIT 1"
    ).fetchone()
    return float(row[0]) if row is not None else -1.0
