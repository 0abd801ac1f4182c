"""Jobs in this process: runners as background processes have them, over a shop floor whose mailboxes are drained
meanwhile, because jobs wait for what becomes of their commands.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import asyncpg

from domain.jobs import RequestJob
from domain.model import Actor
from runtime.database import create_job_pool
from runtime.mailboxes.sender import Sender
from runtime.settings import Settings
from tests.beside import beside
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.system import eventually_seen
from workers.jobs.runner import Runner

_WITHIN_SECONDS: Final = 20.0


class Background:
    """Runners over one floor. What a runner asks for is noted in `asked`, and nobody runs it until the test does."""

    def __init__(self, floor: Shopfloor, sender: Sender, pool: asyncpg.Pool[Any], config: Settings) -> None:
        self.floor = floor
        self.pool = pool
        self.config = config
        self.asked: list[UUID] = []
        self._sender = sender

    def runner(self) -> Runner:
        """What one background process does jobs with."""
        return Runner(self.config, self.pool, self._sender, self._note)

    async def _note(self, job_id: UUID) -> None:
        self.asked.append(job_id)

    async def request(self, kind: str, params: dict[str, Any], actor: Actor = STAFF) -> UUID:
        """Asks for a job; returns its id when it is there."""
        job_id = self.floor.new_id()
        await self.floor.post(RequestJob(job_id, kind, params), actor=actor)
        await eventually_seen(f"a {kind}", lambda: self.row(job_id), within_seconds=_WITHIN_SECONDS)
        return job_id

    async def row(self, job_id: UUID) -> asyncpg.Record | None:
        return await self.pool.fetchrow("SELECT * FROM jobs WHERE id = $1", job_id)

    async def result(self, job_id: UUID) -> bytes:
        """What the run that finished the job made of it."""
        rows = await self.pool.fetch(
            "SELECT data FROM job_parts p JOIN jobs j ON j.id = p.job_id AND j.run = p.run WHERE j.id = $1"
            " ORDER BY part",
            job_id,
        )
        return b"".join(row["data"] for row in rows)

    async def finishes(self, job_id: UUID) -> int:
        """How often the log says that the job is finished."""
        count: int = await self.pool.fetchval(
            "SELECT count(*) FROM events WHERE type = 'job.finished' AND subject = $1", str(job_id)
        )
        return count


@asynccontextmanager
async def background(floor: Shopfloor, **settings: Any) -> AsyncIterator[Background]:
    """Jobs over this floor, with these settings."""
    config = Settings.model_construct(
        **{
            **Settings().model_dump(),
            "database_url": floor.database_url,
            "redis_url": floor.redis_url,
            "mailbox_count": floor.mailbox_count,
            **settings,
        }
    )
    pool = await create_job_pool(floor.database_url, size=10, job_max_seconds=60)
    try:
        async with beside(floor.work), Sender(config) as sender:
            yield Background(floor, sender, pool, config)
    finally:
        pool.terminate()


async def until(look: Callable[[], Awaitable[object]]) -> None:
    """Waits until `look` sees something true."""
    await eventually_seen("what is waited for", look, within_seconds=_WITHIN_SECONDS)
