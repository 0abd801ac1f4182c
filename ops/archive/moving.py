"""`tidegate archive`: moves the log's oldest partitions into files, one after another: events, then the commands whose
events are all archived.

A partition is moved in one transaction, which locks it against writes: its rows are written to a file, which is read
back and compared with the rows; then the partition is dropped, and the new beginning of the log is recorded. If
anything fails before the commit, the partition is still there, and the next run writes the same file again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from ops.archive import files
from ops.archive.files import BadArchive, Content, Manifest, Writer
from ops.archive.limits import Asked, limit_of, why_commands_stay, why_events_stay
from ops.archive.lines import FORMATS
from ops.archive.turns import HeldBack, take_turn
from runtime.branches import read_branches
from runtime.database import PATIENT, application_name, asyncpg_dsn
from runtime.partitions import COMMANDS, EVENTS, Parted, Partition, first_id, partitions

Step = Callable[[str, str], None]
"""Called with a partition's name and what has just been done with it."""

_PAGE_ROWS: Final = 200
LOCK_ATTEMPTS_MAX: Final = 60
LOCK_TIMEOUT: Final = "500ms"
LOCK_PAUSE_SECONDS: Final = 1.0

_START: Final = "SELECT first_seq, commands_since::text FROM log_start"
_EVENTS_START: Final = "UPDATE log_start SET first_seq = $1"
_COMMANDS_START: Final = "UPDATE log_start SET commands_since = $1"
_FORGET_KEYS: Final = "DELETE FROM idempotency_keys WHERE command_id < (SELECT commands_since FROM log_start)"


class Moved(NamedTuple):
    """What a run did, or would do: the manifests of the partitions (without checksums, if no file was written), and why
    it stopped."""

    manifests: list[Manifest]
    stopped_because: list[str]

    def of(self, parted: Parted) -> list[Manifest]:
        """The manifests of one table."""
        return [each for each in self.manifests if each.table == parted.table]


async def archive(database_url: str, folder: Path, asked: Asked, *, dry_run: bool, step: Step) -> Moved:
    """Archives what was asked for, as far as it may be. Raises BadArchive if a file cannot be read back, HeldBack if
    another process is using the archive."""
    async with connected(database_url) as connection:
        branches = await read_branches(connection)
        if not dry_run:
            _open(folder, {branch.identity for branch in branches})
            await connection.execute(_FORGET_KEYS)  # a run before may have been killed
        moved = Moved([], [])
        for parted in (EVENTS, COMMANDS):
            start = await start_of(connection, parted)
            for partition in await partitions(connection, parted):
                if parted is EVENTS:
                    why = await why_events_stay(connection, partition, asked)
                else:
                    of_events = moved.of(EVENTS)
                    first_seq = of_events[-1].end if of_events else await start_of(connection, EVENTS)
                    why = await why_commands_stay(connection, partition, first_seq, asked)
                if why is not None:
                    moved.stopped_because.append(f"{partition.name}: {why}")
                    break
                manifest = await _described(connection, parted, partition, branches.identity, start)
                if not dry_run:
                    manifest = await _move(connection, folder, parted, partition.name, manifest, step)
                moved.manifests.append(manifest)
                start = partition.end
        return moved


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection that holds the archive's lock. Raises HeldBack."""
    settings = PATIENT | {"application_name": application_name(database_url, "archive")}
    connection = await asyncpg.connect(asyncpg_dsn(database_url), server_settings=settings)
    try:
        await take_turn(connection)
        yield connection
    finally:
        await connection.close()


async def start_of(connection: asyncpg.Connection[Any], parted: Parted) -> int:
    """Where a table begins, as a bound of its partitions."""
    first_seq, commands_since = await connection.fetchrow(_START)
    return int(first_seq) if parted is EVENTS else parted.bound(commands_since)


async def note_start(connection: asyncpg.Connection[Any], parted: Parted, bound: int) -> None:
    """Notes where a table begins."""
    if parted is EVENTS:
        await connection.execute(_EVENTS_START, bound)
    else:
        await connection.execute(_COMMANDS_START, first_id(bound))


async def _described(
    connection: asyncpg.Connection[Any], parted: Parted, partition: Partition, log: UUID, start: int
) -> Manifest:
    """The manifest of a partition to be archived, without a file's properties."""
    rows: int = await connection.fetchval(f"SELECT count(*) FROM {partition.name}")  # noqa: S608 - ours
    return Manifest(
        log=log,
        table=parted.table,
        start=start,
        end=partition.end,
        rows=rows,
        file=files.name_of(parted.table, start, partition.end),
        written_at=datetime.now(UTC),
    )


async def _move(
    connection: asyncpg.Connection[Any], folder: Path, parted: Parted, name: str, wanted: Manifest, step: Step
) -> Manifest:
    path = folder / wanted.file
    async with connection.transaction():
        await connection.execute(f"LOCK TABLE {name} IN SHARE MODE")
        written = await _write(connection, parted, name, path)
        step(name, "written")
        if parted is EVENTS and written.rows != wanted.end - wanted.start:
            raise BadArchive(f"{name} has {written.rows} events where {wanted.end - wanted.start} should be")
        if files.content(path, parted.table) != written:
            raise BadArchive(f"{path} is not what was to be written")
        size, sha256 = files.checksum(path)
        manifest = msgspec.structs.replace(wanted, rows=written.rows, bytes=size, sha256=sha256)
        files.put(folder, manifest)
        step(name, "read back")
        await once_let(connection, name, f"DROP TABLE {name}")
        if parted is COMMANDS:
            await note_start(connection, parted, manifest.end)
        else:
            # The log is locked now: anything that has changed the limit since it was checked shows here.
            if (limit := await limit_of(connection)).seq < manifest.end - 1:
                raise HeldBack(f"{name}: {limit.because}")
            await note_start(connection, parted, manifest.end)
        step(name, "dropped")
    if parted is COMMANDS:
        # Not earlier: a request that uses such a key again would wait until the partition can be dropped.
        await connection.execute(_FORGET_KEYS)
    step(name, "archived")
    return manifest


async def _write(connection: asyncpg.Connection[Any], parted: Parted, name: str, path: Path) -> Content:
    """Writes the rows page by page, because a partition with an open cursor cannot be dropped."""
    key, selected = parted.key, FORMATS[parted.table].selected
    query = f"SELECT {selected} FROM {name} WHERE {{}} ORDER BY {key} LIMIT {_PAGE_ROWS}"  # noqa: S608 - names of ours
    following = await connection.prepare(query.format(f"{key} > $1"))
    with Writer(path, parted.table) as writer:
        rows = await connection.fetch(query.format("true"))
        while rows:
            writer.write([tuple(row) for row in rows])
            rows = await following.fetch(rows[-1][key])
        return writer.finish()


async def once_let(connection: asyncpg.Connection[Any], name: str, *statements: str) -> None:
    """Executes statements that have to wait for every reader of the whole log, with a short lock timeout and retries,
    so that readers and batches get through."""
    for attempt in range(1, LOCK_ATTEMPTS_MAX + 1):
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                for statement in statements:
                    await connection.execute(statement)
            return
        except asyncpg.LockNotAvailableError as error:
            if attempt == LOCK_ATTEMPTS_MAX:
                raise HeldBack(f"{name}: somebody has been reading the whole log for a minute") from error
            await asyncio.sleep(LOCK_PAUSE_SECONDS)


def _open(folder: Path, ours: set[UUID]) -> None:
    """Creates the folder. Raises BadArchive if it holds the archive of another log."""
    folder.mkdir(parents=True, exist_ok=True)
    for parted in (EVENTS, COMMANDS):
        for manifest in files.manifests(folder, parted.table):
            if manifest.log not in ours:
                raise BadArchive(f"{folder / manifest.file} belongs to another log: {manifest.log}")
