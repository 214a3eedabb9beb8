"""What PostgreSQL knows about a ledger's schema, in a form that two ledgers can be compared in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ledger.store.database import Database

_QUERIES = {
    "relations": """
        SELECT c.relname, c.relkind::text, c.relrowsecurity, c.reloptions::text, c.relacl::text, pg_get_viewdef(c.oid)
        FROM pg_class c WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'v', 'm', 'S', 'p')
    """,
    "columns": """
        SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstorage::text,
            pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.relnamespace = %(schema)s::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
    """,
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = %(schema)s",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = %(schema)s::regnamespace
    """,
    "triggers": """
        SELECT tgrelid::regclass::text, tgname, tgenabled::text, pg_get_triggerdef(t.oid) FROM pg_trigger t
        JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = %(schema)s::regnamespace AND NOT tgisinternal
    """,
    "functions": """
        SELECT proname, pg_get_functiondef(oid), proacl::text
        FROM pg_proc WHERE pronamespace = %(schema)s::regnamespace
    """,
    "policies": """
        SELECT tablename, policyname, permissive, roles::text, cmd, qual, with_check
        FROM pg_policies WHERE schemaname = %(schema)s
    """,
    "roles": """
        SELECT rolname, rolcanlogin, rolsuper, rolcreaterole FROM pg_roles WHERE starts_with(rolname, %(schema)s)
    """,
}


def catalogue(database: Database) -> dict[str, list[str]]:
    """Returns every relation, column, index, constraint, trigger, function and role."""
    with database.connect("owner") as connection:
        return {
            what: sorted(
                str(row).replace(database.schema, "{schema}")
                for row in connection.execute(query, {"schema": database.schema}).fetchall()
            )
            for what, query in _QUERIES.items()
        }
