"""Importing a catalogue over HTTP: how many rows a second, from the first byte sent until the last row is applied, and
how much memory the background process takes; then once more with that process killed in the middle.

Every row is a new product with a variant and a count, and every run ends with `verify`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Generator
from contextlib import suppress
from typing import Any, Final, NamedTuple

import aiohttp
import psutil

from loadtests.bench.plan import Measured, Plan
from loadtests.bench.served import serving
from loadtests.bench.stage import HOST, BenchError, Stage
from ops import processes
from runtime.signing_keys import key_ring
from runtime.tokens import mint

RATE: Final = "import: rows"
MEMORY: Final = "import: background process"
GROWTH: Final = "import: its growth behind the first tenth"
KILLED: Final = "import: killed in the middle"
ROWS_PER_SECOND: Final = "rows/s"
MEBIBYTES: Final = "MiB"

_DATABASE: Final = "bench_import"
_COLUMNS: Final = (
    "slug,name,description,status,sku,price_minor,currency,weight_grams,barcode,attributes,active,on_hand\r\n"
)
_ROWS_AT_ONCE: Final = 1_000
_TOKEN_SECONDS: Final = 3_600
_FINISH_TIMEOUT_SECONDS: Final = 600.0
_LOOK_SECONDS: Final = 0.1
_SETTLED_AT: Final = 0.1
_KILLED_AT: Final = 0.5
# Growth of the background process from the first tenth of the file to its end: it holds one window, however long the
# file.
_GROWTH_MAX_MIB: Final = 64.0


class Taken(NamedTuple):
    """An import: how long it took (seconds), and the background process's memory at a tenth of it and at most (MiB)."""

    seconds: float
    settled_mib: float
    most_mib: float


class Imports:
    """Series `import: ...`. The kill is tried in the first round only."""

    name = "import"

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._stage = stage
        self._rows = plan.import_rows
        self._killed = False

    def titles(self) -> list[str]:
        return [f"import of {self._rows:,} rows", "the same, killed in the middle"]

    def measure(self) -> Generator[list[Measured]]:
        taken = self._take_in(kill=False)
        growth = taken.most_mib - taken.settled_mib
        if growth > _GROWTH_MAX_MIB:
            raise BenchError(f"the background process grew by {growth:.0f} MiB with the file")
        yield [
            Measured(RATE, self._rows / taken.seconds, ROWS_PER_SECOND),
            Measured(MEMORY, taken.most_mib, MEBIBYTES),
            Measured(GROWTH, growth, MEBIBYTES),
        ]
        if self._killed:
            yield []
            return
        self._killed = True
        yield [Measured(KILLED, self._rows / self._take_in(kill=True).seconds, ROWS_PER_SECOND)]

    def _take_in(self, *, kill: bool) -> Taken:
        database_url = self._stage.fresh(_DATABASE)
        with serving(self._stage, processes.commands(), database_url) as port:
            taken = asyncio.run(self._send(f"http://{HOST}:{port}", kill=kill))
        created = self._stage.row(
            database_url, "SELECT count(*) FROM events WHERE type = 'product.created' AND actor = 'bench-import'"
        )["count"]
        if created != self._rows:
            raise BenchError(f"{self._rows} rows were sent and {created} products created")
        self._stage.verify(database_url)
        return taken

    async def _send(self, url: str, *, kill: bool) -> Taken:
        keys = key_ring(self._stage.config)
        token = mint(keys, "bench-import", ["admin"], lifetime_seconds=_TOKEN_SECONDS)
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(url, headers=headers, raise_for_status=True) as session:
            begun = time.monotonic()
            async with session.post(
                "/api/v1/imports", data=_file(self._rows), headers={"Content-Type": "text/csv"}
            ) as response:
                status_url = (await response.json())["status_url"]
            settled_mib = most_mib = 0.0
            while True:
                async with session.get(status_url) as response:
                    found = await response.json()
                memory = _background_mib()
                most_mib = max(most_mib, memory)
                if found["progress"] < _SETTLED_AT:
                    settled_mib = most_mib
                if found["finished_at"] is not None:
                    break
                if kill and found["progress"] >= _KILLED_AT:
                    kill = False
                    for process in _background():
                        process.kill()
                if time.monotonic() - begun > _FINISH_TIMEOUT_SECONDS:
                    raise BenchError(f"not brought in within {_FINISH_TIMEOUT_SECONDS:.0f} s: {found}")
                await asyncio.sleep(_LOOK_SECONDS)
            seconds = time.monotonic() - begun
        _check(found, self._rows)
        return Taken(seconds, settled_mib, most_mib)


def _check(found: dict[str, Any], rows: int) -> None:
    if (found["status"], found["applied"]) != ("succeeded", rows):
        raise BenchError(f"not every row was applied: {found}")


async def _file(rows: int) -> AsyncIterator[bytes]:
    yield _COLUMNS.encode()
    for start in range(0, rows, _ROWS_AT_ONCE):
        yield "".join(map(_row, range(start, min(rows, start + _ROWS_AT_ONCE)))).encode()


def _row(number: int) -> str:
    return (
        f'imported-{number},"Lantern, white metal, number {number}",'
        '"A lantern for four tea lights, of white metal and glass, to stand on a table or to hang in a tree",'
        f"active,IMPORTED-{number},{100 + number % 900},GBP,850,50{number:08d},"
        f'"{{""colour"":""white""}}",true,{number % 100}\r\n'
    )


def _background() -> list[psutil.Process]:
    """The actual background processes, among those that we started."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "workers.background:create_broker" in process.cmdline() and not process.children():
                found.append(process)
    return found


def _background_mib() -> float:
    total = 0.0
    for process in _background():
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss / 2**20
    return total
