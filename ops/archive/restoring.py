"""`tidegate archive --restore`: puts what was archived back into the database, the youngest partition first: commands,
then events.

A partition comes back in one transaction: its file is read, the partition is made of its rows, and where the log begins
is noted. The files stay. Whatever happens before the commit, nothing has come back, and the next run begins there.
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
    """Puts back all that is archived; returns the manifests of the partitions, in that order. Raises BadArchive if the
    folder does not have all of it, HeldBack if somebody else is at the archive or reads all of the log."""
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
    """The statement that makes the table. It has its indexes, and is known to be within its bounds, before it becomes a
    partition: whoever reads all of the log waits while it becomes one."""
    first, last = parted.literal(manifest.start), parted.literal(manifest.end)
    return f"""
        CREATE TABLE {parted.name(manifest.start)} (
            LIKE {parted.table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING INDEXES,
            CONSTRAINT {_BOUNDS} CHECK ({parted.key} >= {first} AND {parted.key} < {last})
        )
    """
