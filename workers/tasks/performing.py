"""One run of a task, under its lease, from the claim to its end. A failed task is retried with exponential backoff, and
in the end left to staff; a run that is interrupted because its process ends gives the task back at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any, Final

import asyncpg
import msgspec

from domain.model import Actor, Command
from domain.roles import STAFF
from runtime import logs, tracing
from runtime.delivering.registry import DeliveryProviders
from runtime.mailboxes.sender import Sender
from runtime.metrics import TASK_RUNS, TASK_SECONDS
from runtime.payments.registry import Providers
from runtime.records import FAILED
from runtime.settings import Settings
from runtime.taxing.registry import TaxProviders
from workers.causes import causes
from workers.failures import DATABASE_TROUBLE, NOBODYS_FAULT, Away, backoff_seconds, told
from workers.leases import LeaseKeeper, LeaseLost
from workers.tasks.kinds import KINDS, Later, TaskTools
from workers.tasks.outcomes import OutcomeWaiter
from workers.tasks.queue import Task, TaskQueue

TASKS_ACTOR: Final = Actor.in_role("tidegate:tasks", STAFF)
"""On whose behalf results are posted."""

_POST_PATIENCE_SECONDS: Final = 60.0

_STATUS_OF_KEY: Final = """
    SELECT c.status FROM idempotency_keys k JOIN commands c ON c.id = k.command_id WHERE k.principal = $1 AND k.key = $2
"""

_log = logging.getLogger(__name__)


class ResultFailed(Exception):
    """The command with the result became a dead letter."""


class TriedTooOften(Exception):
    """Several runs of the task ended without a trace, for example because their processes were killed."""


class Performer:
    """Runs one lane's tasks for one process. Its own queries to the queue use `pool`, which times out soon if Postgres
    does not answer; the tasks get `work_pool`, where a statement may take as long as a job."""

    def __init__(
        self,
        config: Settings,
        pool: asyncpg.Pool[Any],
        work_pool: asyncpg.Pool[Any],
        sender: Sender,
        providers: Providers,
        tax_providers: TaxProviders,
        delivery_providers: DeliveryProviders,
    ) -> None:
        self.queue = TaskQueue(pool, lease_seconds=config.task_lease_seconds)
        self._config = config
        self._pool = pool
        self._work_pool = work_pool
        self._sender = sender
        self._providers = providers
        self._tax_providers = tax_providers
        self._delivery_providers = delivery_providers
        self._outcomes = OutcomeWaiter(pool)
        self._leases = LeaseKeeper(pool, "tasks", "id", lease_seconds=config.task_lease_seconds)

    async def run(self, task: Task, claimed_at: float) -> None:
        """Runs the task, claimed at `claimed_at` on the event loop's clock, and handles every way it can end."""
        logs.note(task_id=task.id)
        started = time.monotonic()
        tools = TaskTools(
            task,
            self._config,
            self._work_pool,
            self._sender,
            self.queue,
            self._providers,
            self._tax_providers,
            self._delivery_providers,
        )
        end = "lost"
        try:
            async with self._leases.keeping(task.id, task.token, claimed_at, tools.on_renewal):
                end = await self._run(task, tools)
        except LeaseLost:
            _log.warning("%s task %s has been taken over", task.kind, task.id)
        except asyncio.CancelledError:
            end = "broken off"
            with suppress(LeaseLost, *DATABASE_TROUBLE):
                await self.queue.retry_later(task, "", after_seconds=0, attempted=False)
            raise
        except DATABASE_TROUBLE as error:
            # The failure could not be recorded either: the lease will expire.
            _log.warning("%s task %s waits: Postgres is unavailable (%s)", task.kind, task.id, type(error).__name__)
        finally:
            TASK_RUNS.labels(task.kind, end).inc()
            TASK_SECONDS.labels(task.kind).observe(time.monotonic() - started)

    async def _run(self, task: Task, tools: TaskTools) -> str:
        """Runs it and posts its result; returns how it ended."""
        links = await causes(self._pool, [task.created_seq])
        try:
            with tracing.span(f"run task {task.kind}", "consumer", links=links, tidegate__task__id=str(task.id)):
                return await self._perform(task, tools)
        except LeaseLost:
            raise
        except NOBODYS_FAULT as error:
            return await self._retry(task, error, attempted=False)
        except Exception as error:
            # The run may have made headway since it was claimed.
            task = msgspec.structs.replace(task, attempts=await self.queue.attempts(task))
            if task.attempts < self._config.task_attempts_max:
                return await self._retry(task, error, attempted=True)
            return await self._give_up(task, tools, error)

    async def _perform(self, task: Task, tools: TaskTools) -> str:
        """Runs it once and posts its result; returns how it ended."""
        key = await self._unused_key(task)
        if key is not None:
            if task.attempts > self._config.task_attempts_max:
                raise TriedTooOften(f"{task.attempts - 1} runs ended without a trace")
            result = await KINDS[task.kind].perform(task, tools)
            if isinstance(result, Later):
                await self.queue.retry_later(task, "", after_seconds=result.seconds, attempted=False)
                return "put off"
            await self._tell(task, key, result)
        await self.queue.finish(task)
        return "done"

    async def _unused_key(self, task: Task) -> str | None:
        """The idempotency key for the result; None if an earlier run posted it and was interrupted before it could
        remove the task. A result that became a dead letter has changed nothing, so the next one takes a new key."""
        key, failed = str(task.id), 0
        if task.run == 1:
            return key
        while status := await self._pool.fetchval(_STATUS_OF_KEY, TASKS_ACTOR.principal, key):
            if status != FAILED:
                return None
            failed += 1
            key = f"{task.id}:{failed}"
        return key

    async def _tell(self, task: Task, key: str, result: Command | None) -> None:
        """Posts the result and waits for its outcome. If another run has already posted one, that one counts. A
        rejection is an outcome, too: the shop has moved on meanwhile, and the log says so."""
        if result is None:
            return
        command_id = await self._sender.send(result, TASKS_ACTOR, key=key, patience_seconds=_POST_PATIENCE_SECONDS)
        outcome = await self._outcomes.wait(command_id)
        if outcome is None:
            raise Away(f"no worker has applied the result of task {task.id} yet")
        if outcome.status == FAILED:
            raise ResultFailed(f"{outcome.code}: {outcome.detail}")

    async def _retry(self, task: Task, error: BaseException, *, attempted: bool) -> str:
        expected = isinstance(error, (*NOBODYS_FAULT, *DATABASE_TROUBLE))
        # Runs that are not attempts count here, so that an unavailable service is asked less and less often.
        after_seconds = backoff_seconds(task.attempts if attempted else task.run, self._config.task_retry_max_seconds)
        _log.warning(
            "%s task %s failed in run %d (%s); retrying in %.1f s",
            task.kind,
            task.id,
            task.run,
            told(error),
            after_seconds,
            exc_info=None if expected else error,
        )
        await self.queue.retry_later(task, told(error), after_seconds=after_seconds, attempted=attempted)
        return "retried"

    async def _give_up(self, task: Task, tools: TaskTools, error: Exception) -> str:
        """Ends a task that has failed too often: posts its kind's final command, or marks the task dead."""
        _log.error(
            "%s task %s failed %d times and has been given up", task.kind, task.id, task.attempts, exc_info=error
        )
        give_up = KINDS[task.kind].give_up
        key = await self._unused_key(task)
        if give_up is not None and key is not None:
            try:
                await self._tell(task, key, await give_up(task, tools))
                await self.queue.finish(task)
            except LeaseLost:
                raise
            except NOBODYS_FAULT as away:
                return await self._retry(task, away, attempted=False)
            except Exception as failure:
                error = failure
            else:
                return "given up"
        await self.queue.die(task, told(error))
        return "dead"
