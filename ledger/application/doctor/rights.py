"""Who may do what in the database, and whether what keeps the history from being changed is in place.

Looked at is everybody who can log in or be become, not the ledger's own roles alone; superusers and the owner of the
tables can do anything, which is what the seal is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.application.doctor.findings import Finding, ok, problem
from ledger.errors import SettingsError
from ledger.store.guards import broken_guards
from ledger.store.migrate import pending

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from ledger.store.database import Database, Row

ROLES = ("writer", "reader", "projector", "eraser", "sealer")
NEEDED = ("writer", "reader", "projector", "sealer")
"""Roles that the service works as; the eraser's is taken by the operator."""

HISTORY = ("events", "commands")
SAFE_PATH = "search_path=pg_catalog, pg_temp"

_GRANTED = """
SELECT r.rolname, t.name, p.may FROM pg_roles r
CROSS JOIN unnest(%(tables)s::text[]) AS t (name)
CROSS JOIN unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) AS p (may)
CROSS JOIN (SELECT relowner FROM pg_class WHERE oid = %(events)s::regclass) AS o
WHERE NOT r.rolsuper AND r.rolname !~ '^pg_' AND NOT pg_has_role(r.oid, o.relowner, 'MEMBER')
    AND (has_table_privilege(r.oid, t.name, p.may)
        OR p.may IN ('INSERT', 'UPDATE') AND has_any_column_privilege(r.oid, t.name, p.may))
ORDER BY 1, 2, 3
"""
_POWERS = """
SELECT r.rolname, r.rolsuper, r.rolbypassrls OR r.rolcreaterole OR r.rolreplication,
    NOT r.rolsuper AND pg_has_role(r.oid, (SELECT relowner FROM pg_class WHERE oid = %(events)s::regclass), 'MEMBER'),
    pg_has_role(current_user, r.oid, 'MEMBER')
FROM pg_roles r WHERE r.rolname = ANY(%(roles)s)
"""
_COMPARE = "Find out who did this, and compare the history with checkpoints kept elsewhere: `ledger verify`."
_UNTRIGGERED = """
SELECT coalesce(d.datname, 'every database'), coalesce(r.rolname, 'every login') FROM pg_db_role_setting s
LEFT JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole,
    unnest(s.setconfig) AS c (entry)
WHERE c.entry LIKE 'session_replication_role=%%' AND c.entry <> 'session_replication_role=origin'
    AND (d.datname IS NULL OR d.datname = current_database())
"""
_FUNCTIONS = """
SELECT p.proname, p.prosecdef, coalesce(%(path)s = ANY (p.proconfig), false), p.proowner = e.relowner,
    coalesce((SELECT string_agg(r.rolname, ', ' ORDER BY r.rolname) FROM pg_roles r
        WHERE p.proname IN ('append', 'lock_appends') AND NOT r.rolsuper AND r.rolname !~ '^pg_'
            AND has_schema_privilege(r.oid, p.pronamespace, 'USAGE')
            AND has_function_privilege(r.oid, p.oid, 'EXECUTE') AND NOT pg_has_role(r.oid, e.relowner, 'MEMBER')
            AND NOT pg_has_role(r.oid, %(writer)s, 'MEMBER')), '')
FROM pg_proc p, (SELECT relowner FROM pg_class WHERE oid = %(events)s::regclass) AS e
WHERE p.pronamespace = %(schema)s::regnamespace ORDER BY p.proname
"""


def check_migrations(connection: psycopg.Connection[Row], database: Database) -> Iterator[Finding]:
    """Yields whether the schema is that of this version; the last finding is a problem where it is not."""
    try:
        missing = pending(database, connection)
    except SettingsError as error:
        yield problem("migrations", error.detail, error.help)
        return
    if missing:
        listed = ", ".join(map(str, missing))
        yield problem("migrations", f"Not applied yet: {listed}.", "Run `ledger migrate` as the owner of the database.")
    else:
        yield ok("migrations", "all applied")


def check_roles(connection: psycopg.Connection[Row], database: Database) -> Iterator[Finding]:
    """Yields what the ledger's roles may do, and who else may change the history."""
    names = {f"{database.schema}_{role}": role for role in ROLES}
    events = f"{database.schema}.events"
    rows = connection.execute(_POWERS, {"events": events, "roles": list(names)}).fetchall()
    wrong = [
        problem("roles", f"The role {name} does not exist.", "Run `ledger migrate` as the owner.")
        for name in sorted(names.keys() - {row[0] for row in rows})
    ]
    for name, superuser, powers, owns, member in rows:
        if superuser or powers:
            which = "SUPERUSER" if superuser else "BYPASSRLS, CREATEROLE or REPLICATION"
            todo = f"ALTER ROLE {name} NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOREPLICATION;"
            wrong.append(problem("roles", f"The role {name} has {which}.", todo))
        if owns:
            todo = f"Revoke the owner's role from {name}: it could switch the triggers off."
            wrong.append(problem("roles", f"The role {name} can become the owner of the history.", todo))
        if not member and names[name] in NEEDED:
            todo = f"GRANT {name} TO the login of LEDGER_DATABASE_URL."
            wrong.append(problem("roles", f"This login cannot work as {name}.", todo))
    yield from wrong or [ok("roles", f"{len(names)} there, none with more than its part")]
    tables = [f"{database.schema}.{table}" for table in HISTORY]
    granted = connection.execute(_GRANTED, {"events": events, "tables": tables}).fetchall()
    for role, table, right in granted:
        yield problem(
            "rights", f"{role} may {right} on {table}.", f"REVOKE {right} ON {table} FROM {role} (or PUBLIC)."
        )
    if not granted:
        yield ok("rights", "nobody but the owner can change the history")


def check_triggers(connection: psycopg.Connection[Row], database: Database) -> Iterator[Finding]:
    """Yields whether the triggers that refuse changes are there and on."""
    wrong = [
        problem("triggers", f"The {guard.what} {guard.how}.", _COMPARE)
        for guard in broken_guards(connection, database)
        if guard.kind == "trigger"
    ]
    for where, who in connection.execute(_UNTRIGGERED).fetchall():
        todo = f"ALTER ROLE or ALTER DATABASE … RESET session_replication_role. {_COMPARE}"
        wrong.append(problem("triggers", f"session_replication_role switches triggers off for {who} in {where}.", todo))
    yield from wrong or [ok("triggers", "all there and on")]


def check_functions(connection: psycopg.Connection[Row], database: Database) -> Iterator[Finding]:
    """Yields whether the functions work with their owner's rights only as they must, and who may append."""
    parameters = {
        "schema": database.schema,
        "events": f"{database.schema}.events",
        "path": SAFE_PATH,
        "writer": f"{database.schema}_writer",
    }
    wrong = [
        problem("functions", f"The {guard.what} {guard.how}.", _COMPARE)
        for guard in broken_guards(connection, database)
        if guard.kind == "function"
    ]
    rows = connection.execute(_FUNCTIONS, parameters).fetchall()
    for name, definer, pinned, owned, others in rows:
        qualified = f"{database.schema}.{name}"
        if definer and not pinned:
            todo = f"ALTER FUNCTION {qualified} SET search_path = pg_catalog, pg_temp;"
            wrong.append(problem("functions", f"{name} runs as its owner with the caller's search_path.", todo))
        if not owned:
            todo = f"ALTER FUNCTION {qualified} OWNER TO the owner of {database.schema}.events."
            wrong.append(problem("functions", f"{name} does not belong to the owner of the history.", todo))
        if others:
            todo = f"REVOKE EXECUTE ON FUNCTION {qualified} FROM {others} (or PUBLIC);"
            wrong.append(problem("functions", f"{name} may be executed by {others}.", todo))
        if name == "append" and not definer:
            wrong.append(problem("functions", "append runs as its caller, who may not write.", "Restore the schema."))
    yield from wrong or [ok("functions", f"{len(rows)} there, as they were made")]
