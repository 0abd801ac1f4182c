"""How many events a second `tidegate verify` folds and compares, and how much memory that takes, for a log of real
baskets that a worker has just written, most of them confirmed and half of them fulfilled.

The clock covers the whole command, including its start. A log of orders with fewer lines is folded faster.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
import psutil

from loadtests.bench import goods
from loadtests.bench.plan import Measured, Plan
from loadtests.bench.stage import HOST, ONE_WORKER, BenchError, Stage, worker
from ops import processes
from ops.ports import free_port

RATE: Final = "verify: events"
MEMORY: Final = "verify: peak memory"
EVENTS_PER_SECOND: Final = "events/s"
MEBIBYTES: Final = "MiB"

_DATABASE: Final = "bench_verify"
_LOOK_SECONDS: Final = 0.02


class Verify:
    """Series `verify: events` and `verify: peak memory`."""

    name = "verify"

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._stage = stage
        self._orders = plan.verify_orders

    def titles(self) -> list[str]:
        return [f"verify of {self._orders:,} orders"]

    def measure(self) -> Generator[list[Measured]]:
        database_url = self._stage.fresh(_DATABASE)
        self._trade(database_url)
        self._stage.postgres.psql("VACUUM ANALYZE", _DATABASE)
        begun = time.monotonic()
        events, peak_mib = self._verify(database_url)
        yield [
            Measured(RATE, events / (time.monotonic() - begun), EVENTS_PER_SECOND),
            Measured(MEMORY, peak_mib, MEBIBYTES),
        ]

    def _trade(self, database_url: str) -> None:
        stage = self._stage
        entries = goods.trades(islice(goods.real(stage.invoices), self._orders), stage.config.mailbox_count)
        already = stage.entries_applied(database_url)
        stage.fill(entries)
        with stage.running(worker(), database_url, ONE_WORKER):
            stage.wait_until_applied(database_url, already + len(entries))

    def _verify(self, database_url: str) -> tuple[int, float]:
        """Runs the command; returns how many events it counted, and its peak memory (MiB)."""
        environment = processes.environment(
            dict(os.environ),
            database_url=database_url,
            redis_url=self._stage.valkey.url,
            host=HOST,
            port=free_port(),
            home=self._stage.home,
        )
        command = [str(Path(sys.executable).with_name("tidegate")), "verify", "--json"]
        with tempfile.TemporaryFile() as said:
            peak_mib = 0.0
            running = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.DEVNULL)
            process = psutil.Process(running.pid)
            while running.poll() is None:
                with suppress(psutil.Error):  # it has just ended
                    peak_mib = max(peak_mib, process.memory_info().rss / 2**20)
                time.sleep(_LOOK_SECONDS)
            said.seek(0)
            report = said.read()
        if running.returncode != 0:
            raise BenchError(f"verify found differences: {report[:500].decode(errors='replace')}")
        return int(msgspec.json.decode(report)["counts"]["events"]), peak_mib
