"""The log and the records of commands are parted beside workers that know nothing of it: nothing is lost, and no key is
used twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import pytest

from runtime import migrations
from runtime.database import asyncpg_dsn
from runtime.partitions import first_id
from tests.integration.migrating import differences, upgrade
from tests.servers import Databases

_BEFORE: Final = "0026"
_BATCHES_MIN: Final = 20


class OlderWorker:
    """Writes the log as workers did before it was kept in partitions: a record of each command with its key."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self._connection = connection
        self._numbers = count(1)
        self.written: list[str] = []

    async def write(self, key: str | None = None) -> None:
        """One batch, of one command. Raises what Postgres says of a key that was used."""
        key = key or f"key-{next(self._numbers)}"
        command_id = UUID(int=first_id(time.time_ns() // 10**6).int | uuid4().int & 2**76 - 1)
        async with self._connection.transaction():
            seq = await self._connection.fetchval(
                "UPDATE event_counter SET last_seq = last_seq + 1, last_at = now() RETURNING last_seq"
            )
            await self._connection.execute(
                "INSERT INTO events (seq, type, subject, command_id, actor, occurred_at, data)"
                " VALUES ($1, 'stock.received', 'MUG', $2, 'ann', now(), '{}')",
                seq,
                command_id,
            )
            await self._connection.execute(
                "INSERT INTO commands (id, type, principal, accepted_at, applied_at, mailbox, entry_id, status, seq,"
                " idempotency_key, fingerprint, request)"
                " VALUES ($1, 'ReceiveStock', 'ann', now(), now(), 0, '1-1', 'applied', $2, $3, 'said', '')",
                command_id,
                seq,
                key,
            )
        self.written.append(key)


@asynccontextmanager
async def older_worker(url: str, revision: str) -> AsyncIterator[OlderWorker]:
    await asyncio.to_thread(migrations.upgrade, url, revision)
    named = {"application_name": "tidegate-batch"}
    connection = await asyncpg.connect(asyncpg_dsn(url), server_settings=named)
    try:
        yield OlderWorker(connection)
    finally:
        await connection.close()


async def _all_is_there(url: str, written: list[str]) -> None:
    connection = await asyncpg.connect(asyncpg_dsn(url))
    try:
        seqs = [row["seq"] for row in await connection.fetch("SELECT seq FROM events_first ORDER BY seq")]
        assert seqs == list(range(1, len(written) + 1))
        keys = "SELECT k.key FROM idempotency_keys k JOIN commands_first c ON c.id = k.command_id ORDER BY c.seq"
        assert [row["key"] for row in await connection.fetch(keys)] == written
        assert await connection.fetchval("SELECT count(*) FROM suspects") == 0
    finally:
        await connection.close()
    assert await differences(url) == []


async def test_workers_go_on_while_the_log_is_parted(databases: Databases) -> None:
    """What is written before, between and after the steps is all there, and no key is used twice."""
    with databases.empty() as url:
        async with older_worker(url, _BEFORE) as worker:
            await worker.write()
            migrating = asyncio.create_task(upgrade(url))
            while not migrating.done() or len(worker.written) < _BATCHES_MIN:
                await worker.write()
            await migrating
            for key in (worker.written[0], worker.written[-1]):
                with pytest.raises(asyncpg.UniqueViolationError):
                    await worker.write(key)
            await _all_is_there(url, worker.written)


async def test_commands_of_a_clock_that_was_far_ahead_are_kept(databases: Databases) -> None:
    with databases.empty() as url:
        await asyncio.to_thread(migrations.upgrade, url, _BEFORE)
        connection = await asyncpg.connect(asyncpg_dsn(url))
        ids = {first_id(2**47), first_id(2**46), first_id(0)}
        for command_id in ids:
            await connection.execute(
                "INSERT INTO commands VALUES"
                " ($1, 'X', 'ann', now(), now(), 0, '1-1', 'applied', 1, 1, $1::uuid::text, '', '')",
                command_id,
            )
        await upgrade(url)
        assert await differences(url) == []
        assert {row["id"] for row in await connection.fetch("SELECT id FROM commands")} == ids
        assert {row["command_id"] for row in await connection.fetch("SELECT command_id FROM idempotency_keys")} == ids
        assert len(await connection.fetch("SELECT FROM commands_default")) == 2
        await connection.close()
