"""The plans that Postgres can be made to use for a query, by switching off those that it would prefer.

What a query promises about order must hold under all of them: a growing table or a fresh ANALYZE can change its plan
overnight.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

import asyncpg

from runtime.database import asyncpg_dsn

_INDEX_SCANS: Final = ("enable_indexscan", "enable_indexonlyscan")

# The name of each plan, and what is switched off for it. Where there is no other way, Postgres uses it all the same.
PLANS: Final[dict[str, tuple[str, ...]]] = {
    "as it likes": (),
    "no sequential scans": ("enable_seqscan",),
    "no index scans": _INDEX_SCANS,
    "no bitmap scans": ("enable_bitmapscan",),
    "only sequential scans": (*_INDEX_SCANS, "enable_bitmapscan"),
    "only index scans": ("enable_seqscan", "enable_bitmapscan"),
    "only bitmap scans": ("enable_seqscan", *_INDEX_SCANS),
    "no hashing": ("enable_hashjoin", "enable_hashagg"),
    "no merge joins": ("enable_mergejoin",),
    "no nested loops": ("enable_nestloop",),
    "no sorting": ("enable_sort", "enable_incremental_sort"),
}


PLANS_VARIABLE: Final = "TIDEGATE_TESTS_SWITCH_OFF"
"""A comma-separated list of what the tests' Postgres plans without, for a run of the suite under such a plan."""


def switched_off() -> dict[str, str]:
    """The server settings for PLANS_VARIABLE."""
    return {name: "off" for name in os.environ.get(PLANS_VARIABLE, "").split(",") if name}


async def force(database_url: str, switched_off: Iterable[str]) -> None:
    """Makes every later connection to the database plan without these, and updates the tables' statistics."""
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    try:
        database = await connection.fetchval("SELECT quote_ident(current_database())")
        await connection.execute(f"ALTER DATABASE {database} RESET ALL")
        for name in switched_off:
            await connection.execute(f"ALTER DATABASE {database} SET {name} = off")
        await connection.execute("ANALYZE")
    finally:
        await connection.close()
