"""Tasks in this process: lanes as background processes have them, over a shop floor whose mailboxes are drained
meanwhile, because tasks wait for the outcomes of their results.
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
from runtime.delivering.registry import DeliveryProviders
from runtime.mailboxes.sender import Sender
from runtime.payments.registry import Providers
from runtime.settings import Settings
from runtime.taxing.registry import TaxProviders
from tests.beside import beside
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.system import eventually_seen
from workers import performers as performers
from workers.tasks.dispatcher import Lane
from workers.tasks.kinds import JOBS
from workers.tasks.performing import Performer
from workers.tasks.queue import TaskQueue

_WITHIN_SECONDS: Final = 20.0


class Background:
    """The lanes of background processes over one floor. None looks for tasks until the test tells it to."""

    def __init__(
        self,
        floor: Shopfloor,
        sender: Sender,
        pool: asyncpg.Pool[Any],
        config: Settings,
        providers: Providers,
        tax_providers: TaxProviders,
        delivery_providers: DeliveryProviders,
    ) -> None:
        self.floor = floor
        self.pool = pool
        self.config = config
        self.queue = TaskQueue(pool, lease_seconds=config.task_lease_seconds)
        self._sender = sender
        self._providers = providers
        self._tax_providers = tax_providers
        self._delivery_providers = delivery_providers

    def lane(self, name: str = JOBS, *, size: int | None = None) -> Lane:
        """One lane of one background process."""
        return Lane(name, self.performer(), size=size or self.config.job_concurrency)

    def performer(self) -> Performer:
        """What a lane runs its tasks with."""
        asked = self._providers, self._tax_providers, self._delivery_providers
        return Performer(self.config, self.pool, self.pool, self._sender, *asked)

    async def run_due(self, name: str = JOBS) -> int:
        """Runs the due tasks to their end, as a separate process would; returns how many."""
        lane = self.lane(name)
        begun = await lane.look()
        await lane.idle()
        return begun

    async def due(self) -> list[str]:
        """The subjects of the tasks that may be taken now, longest waiting first."""
        rows = await self.pool.fetch(
            "SELECT subject FROM tasks WHERE state = 'queued' AND NOT blocked AND due_at <= now()"
            " AND (lease_until IS NULL OR lease_until <= now()) ORDER BY due_at, id"
        )
        return [row["subject"] for row in rows]

    async def task(self, subject: object) -> dict[str, Any] | None:
        """The oldest task of a subject."""
        row = await self.pool.fetchrow(
            "SELECT * FROM tasks WHERE subject = $1 ORDER BY created_seq, id LIMIT 1", str(subject)
        )
        return None if row is None else dict(row)

    async def expire_leases(self) -> None:
        """Expires the leases of processes that are dead or stopped, as time would."""
        await self.pool.execute("UPDATE tasks SET lease_until = now() WHERE lease_token IS NOT NULL")

    async def make_due(self) -> None:
        """Makes tasks due that wait for their next attempt, as time would."""
        await self.pool.execute("UPDATE tasks SET due_at = now()")

    async def request(self, kind: str, params: dict[str, Any], actor: Actor = STAFF) -> UUID:
        """Requests a job; returns its id when it exists."""
        job_id = self.floor.new_id()
        await self.floor.post(RequestJob(job_id, kind, params), actor=actor)
        await eventually_seen(f"a {kind}", lambda: self.row(job_id), within_seconds=_WITHIN_SECONDS)
        return job_id

    async def row(self, job_id: UUID) -> asyncpg.Record | None:
        return await self.pool.fetchrow("SELECT * FROM jobs WHERE id = $1", job_id)

    async def result(self, job_id: UUID) -> bytes:
        """The result of the run that finished the job."""
        rows = await self.pool.fetch(
            "SELECT data FROM job_parts p JOIN jobs j ON j.id = p.job_id AND j.run = p.run WHERE j.id = $1"
            " ORDER BY part",
            job_id,
        )
        return b"".join(row["data"] for row in rows)

    async def finishes(self, job_id: UUID) -> int:
        """How often the log says that the job has finished."""
        count: int = await self.pool.fetchval(
            "SELECT count(*) FROM events WHERE type = 'job.finished' AND subject = $1", str(job_id)
        )
        return count


@asynccontextmanager
async def background(floor: Shopfloor, **settings: Any) -> AsyncIterator[Background]:
    """Tasks over this floor, with these settings."""
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
        async with (
            beside(floor.work),
            Sender(config) as sender,
            Providers(config) as providers,
            TaxProviders(config) as tax_providers,
            DeliveryProviders(config) as delivery_providers,
        ):
            yield Background(floor, sender, pool, config, providers, tax_providers, delivery_providers)
    finally:
        pool.terminate()


async def until(look: Callable[[], Awaitable[object]]) -> None:
    """Waits until `look` returns something true."""
    await eventually_seen("the condition", look, within_seconds=_WITHIN_SECONDS)


async def outcome_of(floor: Shopfloor, command: Any, actor: Actor) -> str:
    """Posts a command and waits for its outcome: applied, or `rejected: code`."""
    posted = await floor.post(command, actor=actor)
    found: list[str] = []

    async def settled() -> bool:
        found[:] = [status for status in await floor.statuses([posted]) if status != "not recorded"]
        return bool(found)

    await until(settled)
    return found[0]
