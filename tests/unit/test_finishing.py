"""Tasks that are done at the same time are finished together."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from workers.tasks.finishing import Finisher

LONG_SECONDS = 60.0


class Pool:
    """Stands in for Postgres: each statement waits until it is let go, and finds the tokens that are not lost."""

    def __init__(self, lost: set[UUID] | None = None) -> None:
        self.asked: list[list[UUID]] = []
        self.begun = asyncio.Semaphore(0)
        self.let_go = asyncio.Semaphore(0)
        self.fails = False
        self._lost = lost or set()

    async def fetch(self, _: str, task_ids: list[UUID], tokens: list[UUID]) -> list[dict[str, UUID | None]]:
        self.asked.append(task_ids)
        self.begun.release()
        await self.let_go.acquire()
        if self.fails:
            raise ConnectionResetError
        return [{"lease_token": token, "unblocked": None} for token in tokens if token not in self._lost]


def finisher(pool: Pool) -> Finisher:
    return Finisher(cast(Any, pool), lambda kind: None)


async def test_what_is_done_meanwhile_shares_the_next_statement() -> None:
    pool, ids, lost = Pool(), [uuid4() for _ in range(4)], uuid4()
    pool._lost.add(lost)
    ours = finisher(pool)
    first = asyncio.create_task(ours.finish(ids[0], uuid4()))
    await pool.begun.acquire()
    later = zip(ids[1:], (uuid4(), lost, uuid4()), strict=True)
    others = [asyncio.create_task(ours.finish(task_id, token)) for task_id, token in later]
    await asyncio.sleep(0)
    pool.let_go.release()
    pool.let_go.release()
    async with asyncio.timeout(LONG_SECONDS):
        assert await first
        assert await asyncio.gather(*others) == [True, False, True]
    assert pool.asked == [ids[:1], ids[1:]]


async def test_a_run_that_was_overtaken_does_not_finish_for_its_successor() -> None:
    """Both in this process, and at the same time."""
    overtaken, task_id = uuid4(), uuid4()
    pool = Pool({overtaken})
    ours = finisher(pool)
    both = asyncio.gather(ours.finish(task_id, overtaken), ours.finish(task_id, uuid4()))
    pool.let_go.release()
    async with asyncio.timeout(LONG_SECONDS):
        assert list(await both) == [False, True]


async def test_a_failure_reaches_every_run_and_the_next_statement_is_a_new_one() -> None:
    pool = Pool()
    ours = finisher(pool)
    pool.fails = True
    both = asyncio.gather(ours.finish(uuid4(), uuid4()), ours.finish(uuid4(), uuid4()), return_exceptions=True)
    pool.let_go.release()
    async with asyncio.timeout(LONG_SECONDS):
        assert [type(each) for each in await both] == [ConnectionResetError, ConnectionResetError]
    pool.fails = False
    pool.let_go.release()
    async with asyncio.timeout(LONG_SECONDS):
        assert await ours.finish(uuid4(), uuid4())


async def test_cancelling_one_run_leaves_the_others_that_share_its_statement() -> None:
    pool = Pool()
    ours = finisher(pool)
    cancelled, other = (asyncio.create_task(ours.finish(uuid4(), uuid4())) for _ in range(2))
    await pool.begun.acquire()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    pool.let_go.release()
    async with asyncio.timeout(LONG_SECONDS):
        assert await other
