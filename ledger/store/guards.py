"""What the migrations put up to guard the history: triggers that refuse changes, functions with their exact bodies.

Whoever owns the database can switch a guard off, change what was guarded, and switch it on again; that is the log's
matter. But a guard that is off, gone or reworded says that somebody was here, or that a mishap is near.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from ledger.store.migrate import migrations

if TYPE_CHECKING:
    import psycopg

    from ledger.store.database import Database, Row

_TRIGGER = re.compile(r"CREATE TRIGGER (\w+)\s[^;]*?\sON \{schema\}\.(\w+)", re.DOTALL)
_FUNCTION = re.compile(r"CREATE (?:OR REPLACE )?FUNCTION \{schema\}\.(\w+)\s*\(.*?AS (\$\w*\$)(.*?)\2", re.DOTALL)

_TRIGGERS = (
    "SELECT t.tgname, c.relname, t.tgenabled FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
    " WHERE NOT t.tgisinternal AND c.relnamespace = %s::regnamespace"
)
_FUNCTIONS = "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = %s::regnamespace"


class Broken(NamedTuple):
    """A guard that is not as the migrations made it: `what` (trigger … on …, function …) and `how`, a predicate."""

    kind: Literal["trigger", "function"]
    what: str
    how: str


def broken_guards(connection: psycopg.Connection[Row], database: Database) -> list[Broken]:
    """Returns what is not as the migrations made it; empty where everything stands."""
    text = "\n".join(sql for _, _, sql in migrations())
    found: list[Broken] = []
    triggers = {
        (name, table): enabled for name, table, enabled in connection.execute(_TRIGGERS, (database.schema,)).fetchall()
    }
    for name, table in _TRIGGER.findall(text):
        enabled = triggers.get((name, table))
        if enabled is None:
            found.append(Broken("trigger", f"trigger {name} on {table}", "is missing"))
        elif _code(enabled) not in ("O", "A"):
            found.append(Broken("trigger", f"trigger {name} on {table}", "is switched off"))
    bodies: dict[str, str] = dict(connection.execute(_FUNCTIONS, (database.schema,)).fetchall())
    wanted = {name: body for name, _, body in _FUNCTION.findall(text)}
    for name, body in wanted.items():
        if name not in bodies:
            found.append(Broken("function", f"function {name}", "is missing"))
        elif bodies[name] != body.replace("{schema}", database.schema):
            found.append(Broken("function", f"function {name}", "is not as the migrations wrote it"))
    return found


def _code(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
