"""Catches worker processes at the worst moments: in the middle of a batch's transaction, and between its commit and
everything that follows from it.
"""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Final
from uuid import uuid4

import psutil

from tests.e2e.faults_client import FaultsClient
from tests.e2e.ledger import Ledger
from tests.pace import Patience
from tests.system import System, eventually_seen

_BUSY_WITHIN_SECONDS: Final = 10.0
# The pause between two tries. Random, so that it does not fall into step with the worker's own rhythm.
_TRY_MAX_SECONDS: Final = 0.01

# A backend whose transaction has written or locked, and which waits for its client's next statement.
_WAITS_FOR_CLIENT: Final = """
    SELECT backend_xid::text FROM pg_stat_activity
    WHERE application_name = 'tidegate-batch' AND client_port = ANY($1::int[])
        AND backend_xid IS NOT NULL AND wait_event = 'ClientRead'
"""

_COMMITS_HELD_BACK: Final = """
    SELECT EXISTS (
        SELECT FROM pg_stat_activity
        WHERE application_name = 'tidegate-batch' AND wait_event = 'SyncRep'
    )
"""


async def stop_in_batch(system: System, ledger: Ledger) -> int:
    """Stops (SIGSTOP) a worker process that is in the middle of a batch's transaction; returns its pid."""
    patience = Patience(_BUSY_WITHIN_SECONDS)
    async with _batches_held(system):
        while not patience.is_over():
            for pid in system.worker_pids():
                await stop(pid)
                open_at_first = await _open_transactions(system, ledger, pid)
                if open_at_first & await _open_transactions(system, ledger, pid):
                    return pid
                system.resume(pid)
            await asyncio.sleep(random.uniform(0, _TRY_MAX_SECONDS))
    raise AssertionError(f"no worker was seen in a batch within {patience}")


@asynccontextmanager
async def _batches_held(system: System) -> AsyncIterator[None]:
    """Makes sure that batches open a transaction: small ones are written in a single statement, and no worker can be
    stopped in the middle of that. So products come as well, each of which opens a shelf."""
    async with FaultsClient(system, staff="admin") as admin:

        async def create() -> None:
            while True:
                sku = str(uuid4()).upper()
                variant = {"sku": sku, "price_minor": 100, "currency": "GBP"}
                made = await admin.post("/products", {"name": f"Held {sku}", "variants": [variant]})
                assert made.status != 422, made

        creating = asyncio.create_task(create())
        try:
            yield
        finally:
            creating.cancel()
            with suppress(asyncio.CancelledError):
                await creating


async def kill(*pids: int) -> None:
    """Kills (SIGKILL) them all; returns when they are dead."""

    async def are_dead() -> bool:
        return not any(map(_is_alive, pids))

    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    await eventually_seen(f"the end of {pids}", are_dead, within_seconds=5)


def workers_stopped(system: System) -> AbstractAsyncContextManager[None]:
    """Stops all workers (SIGSTOP) while the block runs, so nothing is applied; then continues them."""
    return stopped_meanwhile(system.worker_pids())


def background_stopped(system: System) -> AbstractAsyncContextManager[None]:
    """Stops all background processes while the block runs, so no reaction or job runs; then continues them."""
    return stopped_meanwhile(system.background_pids())


@asynccontextmanager
async def stopped_meanwhile(pids: Sequence[int]) -> AsyncIterator[None]:
    """Stops these processes (SIGSTOP) while the block runs, then continues them."""
    try:
        for pid in pids:
            await stop(pid)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def commits_held_back(ledger: Ledger) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """While the block runs, every commit is on disk but neither visible nor confirmed: it waits for a standby server
    that does not exist. Yields a function that tells whether one waits. Afterwards all are confirmed to the clients
    that are still there.
    """
    connection = ledger.connection

    async def one_waits() -> bool:
        return bool(await connection.fetchval(_COMMITS_HELD_BACK))

    async def none_waits() -> bool:
        return not await one_waits()

    await connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    await connection.execute("SELECT pg_reload_conf()")
    try:
        yield one_waits
    finally:
        await connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await connection.execute("SELECT pg_reload_conf()")
    await eventually_seen("all commits confirmed", none_waits, within_seconds=5)


def _is_alive(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


async def stop(pid: int) -> None:
    """Sends SIGSTOP; returns when the process has stopped."""
    os.kill(pid, signal.SIGSTOP)
    process = psutil.Process(pid)

    async def stands_still() -> bool:
        return bool(process.status() == psutil.STATUS_STOPPED)

    await eventually_seen(f"process {pid} stopped", stands_still, within_seconds=5)


async def _open_transactions(system: System, ledger: Ledger, pid: int) -> set[str]:
    """The open transactions of a stopped process, which wait for its next statement."""
    rows = await ledger.connection.fetch(_WAITS_FOR_CLIENT, list(ports(pid, system.postgres.port)))
    return {row["backend_xid"] for row in rows}


def ports(pid: int, server_port: int) -> set[int]:
    """The process's ends of its connections to a server; none if the process is dead."""
    with suppress(psutil.NoSuchProcess):
        connections = psutil.Process(pid).net_connections("tcp")
        return {each.laddr.port for each in connections if each.raddr and each.raddr.port == server_port}
    return set()
