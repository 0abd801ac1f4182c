"""Reads the resource usage of a system on this machine repeatedly, in a separate process, while a load test runs:

    python -m loadtests.frame.gauges NAME=PID,NAME=PID SECONDS

The memory and the open files of these processes with their children, Redis's memory, the size of every table, and how
long the log is. It prints a line of JSON each time, until it is told to end. The servers are those of the settings.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import asyncpg
import msgspec
import psutil

from loadtests.frame.growth import FILES, MEMORY, REDIS, TABLE, Sample, proportional, steady
from loadtests.frame.verdict import Check, check, skipped
from runtime.database import asyncpg_dsn
from runtime.redis_client import connect
from runtime.settings import settings

KEPT: Final = frozenset(
    {"events", "commands", "idempotency_keys", "orders", "order_lines", "folded_orders", "log_digests", "checkouts"}
)
"""The tables that grow with the log: the log itself until it is archived, orders, and the stored fold."""

_SIZES: Final = """
    SELECT coalesce(pg_partition_root(oid), oid)::regclass::text, sum(pg_total_relation_size(oid))::bigint
    FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace GROUP BY 1
"""
_EVENTS: Final = "SELECT last_seq FROM event_counter"
_STOP_SECONDS: Final = 10.0


class Reading(msgspec.Struct):
    """One reading, at a moment in seconds. Memory and tables are in bytes; processes and tables by name."""

    at: float
    memory: dict[str, int] = {}
    files: dict[str, int] = {}
    tables: dict[str, int] = {}
    redis: int = 0
    events: int = 0


class Watched(msgspec.Struct, frozen=True):
    """The readings of a run, and whether the reading process was still alive at its end."""

    readings: Sequence[Reading] = ()
    to_the_end: bool = False


_reading: Final = msgspec.json.Decoder(Reading)


def checks(watch: str, watched: Watched) -> Iterator[Check]:
    """Whether everything has stopped growing, except what is kept; and first, whether it was watched at all, if that
    was requested: `watch` names the processes, if any."""
    if not watch:
        yield skipped("growth", "no processes were named: it can be watched on the system's own machine")
        return
    seen = watched.readings
    lack = _lack(watch, watched)
    yield check(
        "what grows was watched to the end",
        not lack,
        wanted=f"readings of {watch}",
        measured=lack or f"{len(seen):,} readings",
        because="growth that nobody saw shows nothing",
    )
    if not seen:
        return
    for name in seen[0].memory:
        of_process = [each for each in seen if name in each.memory]
        yield steady(f"memory of {name}", [Sample(each.at, each.memory[name]) for each in of_process], MEMORY)
        yield steady(f"open files of {name}", [Sample(each.at, each.files[name]) for each in of_process], FILES)
    yield steady("memory of Redis", [Sample(each.at, each.redis) for each in seen], REDIS)
    events = [Sample(each.at, each.events) for each in seen]
    for table in sorted(seen[0].tables):
        sizes = [Sample(each.at, each.tables.get(table, 0)) for each in seen]
        what = f"table {table}"
        yield proportional(what, sizes, events) if table in KEPT else steady(what, sizes, TABLE)


def _lack(watch: str, watched: Watched) -> str:
    """What was not watched the whole time; empty if everything was."""
    if not watched.readings:
        return "no readings"
    if not watched.to_the_end:
        return f"{len(watched.readings):,} readings, then the reader ended"
    ends = watched.readings[0], watched.readings[-1]
    gone = [name for name in _pids(watch) if any(name not in each.memory for each in ends)]
    return f"not there all the time: {', '.join(gone)}" if gone else ""


@contextmanager
def reading(watch: str, every_seconds: float, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """While the context lasts, the yielded process writes readings to a file."""
    command = [sys.executable, "-m", __name__, watch, str(every_seconds)]
    with file.open("wb") as out, subprocess.Popen(command, stdout=out) as running:
        try:
            yield running
        finally:
            running.terminate()
            running.wait(_STOP_SECONDS)


def read(file: Path) -> list[Reading]:
    """The readings in a file, whose last line may be incomplete."""
    return [_reading.decode(line) for line in file.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


async def _read(pids: dict[str, int], every_seconds: float) -> None:
    config = settings()
    database = await asyncpg.connect(asyncpg_dsn(config.database_url))
    async with connect(config.redis_url) as redis:
        while True:
            looked = Reading(time.time())
            for name, pid in pids.items():
                with suppress(psutil.Error):
                    looked.memory[name], looked.files[name] = _of_process(pid)
            looked.redis = (await redis.info("memory"))["used_memory"]
            looked.tables = dict(await database.fetch(_SIZES))
            looked.events = await database.fetchval(_EVENTS)
            sys.stdout.buffer.write(msgspec.json.encode(looked) + b"\n")
            sys.stdout.buffer.flush()
            await asyncio.sleep(every_seconds)


def _pids(watch: str) -> dict[str, int]:
    """The processes to watch, by name. Raises ValueError."""
    named = (each.split("=", 1) for each in watch.split(","))
    return {name: int(pid) for name, pid in named}


def _of_process(pid: int) -> tuple[int, int]:
    """The resident bytes and the open files of a process and its children."""
    process = psutil.Process(pid)
    resident = files = 0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            resident += each.memory_info().rss
            files += each.num_fds()
    return resident, files


def main() -> None:
    watch, every_seconds = sys.argv[1:]
    asyncio.run(_read(_pids(watch), float(every_seconds)))


if __name__ == "__main__":
    main()
