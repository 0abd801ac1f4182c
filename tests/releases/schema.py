"""What a schema takes away from the code that was written for an earlier one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import asyncpg

from runtime.database import asyncpg_dsn


class Column(NamedTuple):
    type: str
    is_required: bool
    """NOT NULL, and nothing fills it in."""
    may_be_null: bool
    is_generated: bool


class Schema(NamedTuple):
    """Columns by table and name; the tables' rules (constraints, unique indexes) by table and definition."""

    columns: dict[tuple[str, str], Column]
    rules: set[tuple[str, str]]


_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type,
        a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS is_required, NOT a.attnotnull AS may_be_null,
        a.attgenerated <> '' OR a.attidentity = 'a' AS is_generated
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
"""

# NOT NULL is told by the columns; a unique index may have no constraint.
_RULES = """
    SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'f', 'x')
    UNION SELECT indrelid::regclass::text, regexp_replace(pg_get_indexdef(indexrelid), '^.* USING ', 'UNIQUE ')
    FROM pg_index JOIN pg_class c ON c.oid = indexrelid
    WHERE indisunique AND c.relnamespace = 'public'::regnamespace
"""


async def schema_of(database_url: str) -> Schema:
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    try:
        columns = await connection.fetch(_COLUMNS)
        rules = await connection.fetch(_RULES)
    finally:
        await connection.close()
    found: Any = {(table, name): Column(*rest) for table, name, *rest in columns}
    return Schema(found, {(table, rule) for table, rule in rules})


def taken_away(before: Schema, after: Schema) -> Iterator[str]:
    """What code for `before` does and can do no more with `after`."""
    tables = {table for table, _ in before.columns}
    for (table, name), was in sorted(before.columns.items()):
        now = after.columns.get((table, name))
        if now is None:
            yield f"{table}.{name} is gone"
            continue
        if now.type != was.type:
            yield f"{table}.{name} was {was.type} and is {now.type}"
        if was.may_be_null and not now.may_be_null:
            yield f"{table}.{name} must not be null any more"
        if now.is_required and not was.is_required:
            yield f"{table}.{name} has to be given"
        if now.is_generated and not was.is_generated:
            yield f"{table}.{name} must not be given any more"
    for (table, name), now in sorted(after.columns.items()):
        if table in tables and (table, name) not in before.columns and now.is_required:
            yield f"{table}.{name} is new and has to be given"
    for table, rule in sorted(after.rules - before.rules):
        if table in tables:
            yield f"{table} has a new rule: {rule}"
    for table, rule in sorted(before.rules - after.rules):
        if rule.startswith("UNIQUE") and any(table == other for other, _ in after.columns):
            yield f"{table} lacks a rule that ON CONFLICT may name: {rule}"
