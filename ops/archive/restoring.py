"""`tidegate archive --restore`: puts archived partitions back into the database, the youngest first: commands, then
events.

A partition is restored in one transaction: its file is read, the partition is created from its rows, and the new
beginning of the log is recorded. The files stay. If anything fails before the commit, nothing of that partition has
been restored, and the next run continues there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import asyncpg

from ops.archive import files
from ops.archive.files import BadArchive, Manifest
from ops.archive.lines import FORMATS
from ops.archive.moving import Step, connected, note_start, once_let, start_of
from runtime.branches import read_branches
from runtime.partitions import COMMANDS, EVENTS, Parted, making

_BOUNDS: Final = "restored_bounds"
_BEGINNINGS: Final = {COMMANDS: 0, EVENTS: 1}


async def restore(database_url: str, folder: Path, step: Step) -> list[Manifest]:
    """Restores the whole archive; returns the manifests of the partitions, in the order in which they were restored.
    Raises BadArchive if the folder is incomplete, HeldBack if another process is using the archive or reading the whole
    log."""
    restored = []
    async with connected(database_url) as connection:
        ours = {branch.identity for branch in await read_branches(connection)}
        for parted, beginning in _BEGINNINGS.items():
            by_end = {each.end: each for each in files.manifests(folder, parted.table) if each.log in ours}
            while (start := await start_of(connection, parted)) > beginning:
                if (manifest := by_end.get(start)) is None:
                    raise BadArchive(f"{folder} does not have the {parted.table} before {start}")
                await _put_back(connection, folder, parted, manifest, step)
                restored.append(manifest)
    return restored


async def _put_back(
    connection: asyncpg.Connection[Any], folder: Path, parted: Parted, manifest: Manifest, step: Step
) -> None:
    files.check(folder, manifest)
    name = parted.name(manifest.start)
    _, *attach = making(parted, manifest.start, manifest.end)
    async with connection.transaction():
        await connection.execute(_creating(parted, manifest))
        await connection.copy_records_to_table(
            name, columns=FORMATS[parted.table].columns, records=files.rows(folder / manifest.file, parted.table)
        )
        await once_let(connection, name, *attach, f"ALTER TABLE {name} DROP CONSTRAINT {_BOUNDS}")
        await note_start(connection, parted, manifest.start)
    step(name, "restored")


def _creating(parted: Parted, manifest: Manifest) -> str:
    """The statement that creates the table, with indexes and a check of its bounds, so that attaching it as a partition
    is quick: readers of the whole log wait meanwhile."""
    first, last = parted.literal(manifest.start), parted.literal(manifest.end)
    return f"""
        CREATE TABLE {parted.name(manifest.start)} (
            LIKE {parted.table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING INDEXES,
            CONSTRAINT {_BOUNDS} CHECK ({parted.key} >= {first} AND {parted.key} < {last})
        )
    """
