"""Sees to it that every job is done: finds those that are due, runs them under a lease, tries again what broke off, and
says once what came of each. A process that dies is found out when its leases run out.

At most so many jobs at a time in one process; whoever comes when all hands are full is found again in a moment.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from uuid import UUID

import asyncpg

from domain.jobs import FAILED, SUCCEEDED, FinishJob
from domain.model import Actor
from domain.roles import STAFF
from runtime.database import LOST_CONNECTION
from runtime.mailboxes.post import MailboxesUnavailable, MailboxFull, PostQueueFull
from runtime.mailboxes.sender import Sender, wait_for_outcomes
from runtime.metrics import JOB_RUNS, JOB_SECONDS
from runtime.records import APPLIED, REPEATED
from runtime.redis_client import REDIS_UNAVAILABLE
from runtime.settings import Settings
from workers.jobs import leases
from workers.jobs.core import KINDS, JobFailed, Tools, WorkersAway
from workers.jobs.leases import Job, LeaseLost

_log = logging.getLogger(__name__)

JOBS: Final = Actor.in_role("tidegate:jobs", STAFF)
"""On whose behalf jobs are finished."""

# Asked for in one go; those behind them come when these are at work.
_DUE_AT_ONCE: Final = 32
_RENEWALS_PER_LEASE: Final = 5
_TIDY_EVERY_SECONDS: Final = 60.0
_FINISH_PATIENCE_SECONDS: Final = 60.0
_FIRST_RETRY_SECONDS: Final = 1.0
_LAST_RETRY_SECONDS: Final = 60.0

# What says nothing about the job: it waits, for as long as it takes.
_AWAY: Final[tuple[type[BaseException], ...]] = (MailboxFull, PostQueueFull, MailboxesUnavailable, WorkersAway)
# What may have been the job itself, as when a statement of its own takes too long.
_LOST: Final[tuple[type[BaseException], ...]] = (*LOST_CONNECTION, *REDIS_UNAVAILABLE)


class Runner:
    """Runs the jobs of one background process. `ask` asks some process, perhaps this one, to run a job."""

    def __init__(
        self, config: Settings, pool: asyncpg.Pool[Any], sender: Sender, ask: Callable[[UUID], Awaitable[None]]
    ) -> None:
        self._config = config
        self._pool = pool
        self._sender = sender
        self._ask = ask
        self._running: dict[UUID, asyncio.Task[bool]] = {}
        self._tidied_at = float("-inf")

    async def stop(self) -> None:
        """Breaks off what is running; another process takes it up."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def tend(self) -> None:
        """Asks for the jobs that are due, and tidies up now and then."""
        try:
            for job_id in await leases.due(self._pool, _DUE_AT_ONCE):
                await self._ask(job_id)
            if time.monotonic() - self._tidied_at > _TIDY_EVERY_SECONDS:
                self._tidied_at = time.monotonic()
                await leases.tidy(self._pool, self._config.job_result_seconds)
        except LOST_CONNECTION as error:
            _log.warning("jobs wait, Postgres is away (%s)", type(error).__name__)

    async def run(self, job_id: UUID) -> None:
        """Runs the job, if there is a hand free and nobody else is at it; then asks for the next."""
        if job_id in self._running or len(self._running) >= self._config.job_concurrency:
            return
        # A task of its own, so that `stop` can end it.
        task = self._running[job_id] = asyncio.create_task(self._take(job_id))
        await asyncio.wait({task})
        del self._running[job_id]
        if not task.cancelled() and task.result():
            await self.tend()

    async def _take(self, job_id: UUID) -> bool:
        """Runs the job under a lease; whether it was to be had."""
        try:
            job = await leases.take(self._pool, job_id, self._config.job_lease_seconds)
            if job is None:
                return False
            await self._run(job)
        except LOST_CONNECTION as error:
            _log.warning("job %s waits, Postgres is away (%s)", job_id, type(error).__name__)
        return True

    async def _run(self, job: Job) -> None:
        started = time.monotonic()
        end = "retried"
        try:
            end = await self._work(job)
        except LeaseLost:
            end = "lost"
            _log.warning("job %s is in other hands", job.id)
        except asyncio.CancelledError:
            end = "broken off"
            with suppress(*LOST_CONNECTION):
                await leases.let_go(self._pool, job, after_seconds=0, attempted=False)
            raise
        except (*_AWAY, *_LOST) as error:
            _log.warning("job %s broke off (%s: %s); it will be tried again", job.id, type(error).__name__, error)
            await self._retry(job, attempted=not isinstance(error, _AWAY))
        except Exception:
            _log.exception("job %s broke off in its run %d; it will be tried again", job.id, job.run)
            await self._retry(job, attempted=True)
        finally:
            JOB_RUNS.labels(job.kind, end).inc()
            JOB_SECONDS.labels(job.kind).observe(time.monotonic() - started)

    async def _work(self, job: Job) -> str:
        """Does the job and finishes it, keeping the lease meanwhile; returns its status."""
        tools = Tools(job, self._pool, self._sender, self._config)
        async with self._lease_kept(job, tools):
            if job.attempts > self._config.job_max_attempts:
                status, summary = FAILED, _failure("job_gave_up", f"It broke off {job.attempts - 1} times in a row.")
            else:
                try:
                    status, summary = SUCCEEDED, await KINDS[job.kind](job, tools)
                    await tools.result.close()
                except JobFailed as failed:
                    status, summary = FAILED, _failure(failed.code, failed.detail)
            # Its last progress; and whoever has lost the lease has no say any more.
            await leases.renew(self._pool, job, self._config.job_lease_seconds, tools.done, tools.total)
            await self._finish(job, status, summary)
        return status

    async def _finish(self, job: Job, status: str, summary: dict[str, Any]) -> None:
        """Says what came of the job. It may be said again by another run: the first one stands."""
        command_id = await self._sender.send(
            FinishJob(job.id, status, job.run, summary),
            JOBS,
            key=f"job:{job.id}:finish",
            patience_seconds=_FINISH_PATIENCE_SECONDS,
        )
        outcome = (await wait_for_outcomes(self._pool, [command_id])).get(command_id)
        if outcome is None:
            raise WorkersAway(f"nobody has said yet that job {job.id} is finished")
        if outcome.status not in (APPLIED, REPEATED):
            raise RuntimeError(f"job {job.id} could not be finished: {outcome}")

    async def _retry(self, job: Job, *, attempted: bool) -> None:
        after = min(_LAST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2 ** (job.attempts - 1))
        await leases.let_go(self._pool, job, after_seconds=after, attempted=attempted)

    @asynccontextmanager
    async def _lease_kept(self, job: Job, tools: Tools) -> AsyncIterator[None]:
        """Renews the lease meanwhile, and notes the progress. Raises LeaseLost, in the middle of anything, when another
        run has the job."""
        body = asyncio.current_task()
        assert body is not None
        lost = False

        async def renew() -> None:
            nonlocal lost
            seconds = self._config.job_lease_seconds
            while True:
                await asyncio.sleep(seconds / _RENEWALS_PER_LEASE)
                try:
                    await leases.renew(self._pool, job, seconds, tools.done, tools.total)
                except LeaseLost:
                    lost = True
                    body.cancel()
                    return
                except LOST_CONNECTION:
                    continue  # whoever wants to take the job needs Postgres, too

        renewing = asyncio.create_task(renew())
        try:
            yield
        except asyncio.CancelledError:
            if lost and body.uncancel() == 0:
                raise LeaseLost from None
            raise
        finally:
            renewing.cancel()


def _failure(code: str, detail: str) -> dict[str, Any]:
    return {"code": code, "detail": detail}
