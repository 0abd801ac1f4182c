"""Reads the archive and the log together, for `tidegate verify --with-archive`: the archive is copied into a schema
whose `events` and `commands` also contain the rows in the database. The schema is removed in the end; if a killed run
leaves one behind, the next run removes it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg

from ops.archive import files
from ops.archive.files import BadArchive, Manifest
from ops.archive.lines import FORMATS
from ops.archive.turns import take_turn
from runtime.branches import read_branches
from runtime.database import PATIENT
from runtime.partitions import COMMANDS, EVENTS, Parted
from runtime.proof.report import Progress

SCHEMA: Final = "log_with_archive"
"""The schema with both."""

_START: Final = "SELECT first_seq, commands_since::text FROM log_start"
_HOME: Final = "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = $1::text::regclass"


@asynccontextmanager
async def both(dsn: str, folder: Path, progress: Progress) -> AsyncIterator[None]:
    """While the context lasts, the schema's tables contain the archive as well. Raises BadArchive if the folder is
    incomplete, HeldBack if another process is using the archive."""
    connection = await asyncpg.connect(dsn, server_settings=PATIENT)
    try:
        await take_turn(connection)
        first_seq, commands_since = await connection.fetchrow(_START)
        wanted = [
            (EVENTS, await _wanted(connection, folder, EVENTS, 1, first_seq)),
            (COMMANDS, await _wanted(connection, folder, COMMANDS, 0, COMMANDS.bound(commands_since))),
        ]
        await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        try:
            async with connection.transaction():
                await connection.execute(f"CREATE SCHEMA {SCHEMA}")
                for parted, manifests in wanted:
                    await _load(connection, folder, parted, manifests, progress)
            yield
        finally:
            await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    finally:
        await connection.close()


async def _wanted(
    connection: asyncpg.Connection[Any], folder: Path, parted: Parted, start: int, end: int
) -> list[Manifest]:
    """The consecutive files with everything that is no longer in the database. A killed run may have left other
    files."""
    ours = {branch.identity for branch in await read_branches(connection)}
    wanted, following = [], start
    for manifest in files.manifests(folder, parted.table):
        if manifest.start == following < end:
            if manifest.log not in ours:
                raise BadArchive(f"{folder / manifest.file} belongs to another log: {manifest.log}")
            wanted.append(manifest)
            following = manifest.end
    if following != end:
        raise BadArchive(f"{folder} does not have the {parted.table} from {following} up to {end}")
    return wanted


async def _load(
    connection: asyncpg.Connection[Any], folder: Path, parted: Parted, wanted: list[Manifest], progress: Progress
) -> None:
    table, (columns, _, _, _) = parted.table, FORMATS[parted.table]
    home, archived, listed = await connection.fetchval(_HOME, table), f"archived_{table}", ", ".join(columns)
    await connection.execute(f"CREATE UNLOGGED TABLE {SCHEMA}.{archived} (LIKE {home}.{table} INCLUDING DEFAULTS)")
    for done, manifest in enumerate(wanted, start=1):
        files.check(folder, manifest)
        await connection.copy_records_to_table(
            archived, schema_name=SCHEMA, columns=columns, records=files.rows(folder / manifest.file, table)
        )
        progress(f"archived {table}", done, len(wanted))
    await connection.execute(f"CREATE UNIQUE INDEX ON {SCHEMA}.{archived} ({parted.key})")
    await connection.execute(
        f"CREATE VIEW {SCHEMA}.{table} AS SELECT {listed} FROM {SCHEMA}.{archived}"  # noqa: S608 - names of ours
        f" UNION ALL SELECT {listed} FROM {home}.{table}"
    )
    await connection.execute(f"ANALYZE {SCHEMA}.{archived}")
