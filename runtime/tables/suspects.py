"""Suspects: rows that may differ from the log, to be compared with it. Triggers note every row that any session but a
batch's writes (a change by hand); the patrol adds the rows that it finds different, and removes those that agree with
the log (see `workers/patrol/suspects.py`).
"""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Identity, Index, Table, Text

from runtime.tables.base import metadata, when

# `by_hand`: a trigger has noted it. `seq` is that of a row of `events` or `commands`, by which its events are found.
# `differs_since` is when the row was found to differ; null before it is first checked. Nothing is unique, so that a row
# noted during a check is checked again.
suspects = Table(
    "suspects",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("table_name", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("seq", BigInteger),
    Column("by_hand", Boolean, nullable=False, server_default="true"),
    when("noted_at", server_default="now()"),
    when("differs_since", nullable=True),
    Index("suspects_new", "id", postgresql_where="differs_since IS NULL"),
    Index("suspects_different", "table_name", "key", postgresql_where="differs_since IS NOT NULL"),
)

BATCHES: Final = "%-batch"
"""The pattern of application names of sessions whose writes are explained by the log: see `runtime/database.py`. Only
the name survives a pooler in front of Postgres."""


def watch(table: str, key: str, *, columns: str = "", inserts: bool = True) -> list[str]:
    """The statements with which a migration creates the triggers that note every row of a table, by its key, that is
    written by hand; `columns` are those whose updates count (all, if empty). Applied migrations have used it as it is:
    never change it, add another."""
    by_hand = f"WHEN (current_setting('application_name') NOT LIKE '{BATCHES}') EXECUTE FUNCTION"
    events = ["INSERT"] * inserts + [f"UPDATE OF {columns}" if columns else "UPDATE", "DELETE"]
    return [
        f"""
        CREATE TRIGGER {table}_written_by_hand AFTER {" OR ".join(events)} ON {table}
        FOR EACH ROW {by_hand} note_suspect('{key}')
        """,
        f"""
        CREATE TRIGGER {table}_emptied_by_hand BEFORE TRUNCATE ON {table}
        FOR EACH STATEMENT {by_hand} note_some_suspects('{key}')
        """,
    ]
