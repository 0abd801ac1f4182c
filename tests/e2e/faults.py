"""What is done to worker processes, at exactly the moment that hurts most: in the middle of a batch's transaction."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psutil

from tests.e2e.ledger import Ledger
from tests.system import System, eventually_seen

_BUSY_WITHIN_SECONDS: Final = 10.0
# Between two tries. Drawn anew each time, so that no rhythm of ours falls in with one of the worker's.
_TRY_MAX_SECONDS: Final = 0.01

# A backend in a transaction that has written, or locked, and now waits for its client to say what comes next.
_WAITS_FOR_CLIENT: Final = """
    SELECT backend_xid::text FROM pg_stat_activity
    WHERE application_name = 'tidegate-batch' AND client_port = ANY($1::int[])
        AND backend_xid IS NOT NULL AND wait_event = 'ClientRead'
"""


async def stop_in_batch(system: System, ledger: Ledger) -> int:
    """SIGSTOP for a worker process that has a batch's transaction open and unfinished; returns its pid."""
    until = time.monotonic() + _BUSY_WITHIN_SECONDS
    while time.monotonic() < until:
        for pid in system.worker_pids():
            await _stop(pid)
            open_at_first = await _open_transactions(system, ledger, pid)
            if open_at_first & await _open_transactions(system, ledger, pid):
                return pid
            system.resume(pid)
            await asyncio.sleep(random.uniform(0, _TRY_MAX_SECONDS))
    raise AssertionError(f"no worker was seen in a batch within {_BUSY_WITHIN_SECONDS} s")


@asynccontextmanager
async def workers_stopped(system: System) -> AsyncIterator[None]:
    """Meanwhile nothing is applied: all workers are stopped (SIGSTOP), and go on afterwards."""
    pids = system.worker_pids()
    try:
        for pid in pids:
            await _stop(pid)
        yield
    finally:
        for pid in pids:
            system.resume(pid)


async def _stop(pid: int) -> None:
    """SIGSTOP; returns when the process stands still."""
    os.kill(pid, signal.SIGSTOP)
    process = psutil.Process(pid)

    async def stands_still() -> bool:
        return bool(process.status() == psutil.STATUS_STOPPED)

    await eventually_seen(f"process {pid} standing still", stands_still, within_seconds=5)


async def _open_transactions(system: System, ledger: Ledger, pid: int) -> set[str]:
    """The transactions of a stopped process that go on only when it says more."""
    connections = psutil.Process(pid).net_connections("tcp")
    ports = [c.laddr.port for c in connections if c.raddr and c.raddr.port == system.postgres.port]
    rows = await ledger.connection.fetch(_WAITS_FOR_CLIENT, ports)
    return {row["backend_xid"] for row in rows}
