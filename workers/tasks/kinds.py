"""The interface that a kind of task is written against.

    @performs("charge")
    async def charge(task: Task, tools: TaskTools) -> Command | Later | None: ...

The function performs the task and returns the command that records its result in the log, if there is one; or Later, if
there is no result yet. The command is posted with the task's id as its idempotency key. The function may be called
again after it has done its work, so that must be safe: the service it calls recognises a repeated request by the task's
id. It may be cancelled at any `await`: then another run has the task, or the process is ending.

`Away` and the other exceptions of `NOBODYS_FAULT`, such as `OSError`, mean that something is unavailable: the task is
retried for as long as that lasts. After `task_attempts_max` other exceptions it is given up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import asyncpg

from domain.model import Command
from runtime.delivering.registry import DeliveryProviders
from runtime.mailboxes.sender import Sender
from runtime.metrics import allow_task_kind
from runtime.payments.registry import Providers
from runtime.settings import Settings
from runtime.taxing.registry import TaxProviders
from workers.tasks.queue import Task, TaskQueue

CALLS: Final = "calls"
"""The lane for short tasks, such as a call to another service."""
JOBS: Final = "jobs"
"""The lane for long tasks and long transactions."""
ESTIMATES: Final = "estimates"
"""The lane for calls to tax providers, so that payments do not wait for a slow one."""
RATES: Final = "rates"
"""The lane for calls to providers of delivery rates, so that taxes do not wait for a slow one either."""
LANES: Final = (CALLS, ESTIMATES, RATES, JOBS)


class TaskTools:
    """What one run of a task works with. `pool` has the connections of its lane. `renewed`, if set, is called whenever
    the lease has been renewed."""

    def __init__(
        self,
        task: Task,
        config: Settings,
        pool: asyncpg.Pool[Any],
        sender: Sender,
        queue: TaskQueue,
        providers: Providers,
        tax_providers: TaxProviders,
        delivery_providers: DeliveryProviders,
    ) -> None:
        self.config = config
        self.pool = pool
        self.sender = sender
        self.providers = providers
        self.tax_providers = tax_providers
        self.delivery_providers = delivery_providers
        self.renewed: Callable[[], Awaitable[None]] | None = None
        self._task = task
        self._queue = queue

    async def on_renewal(self) -> None:
        """Called whenever the lease has been renewed."""
        if self.renewed is not None:
            await self.renewed()

    async def headway(self) -> None:
        """Records headway that the next run need not repeat: resets the count of attempts. Raises LeaseLost."""
        await self._queue.headway(self._task)


class Later(NamedTuple):
    """There is no result yet: run the task again after this many seconds. May be returned any number of times."""

    seconds: float


Perform: TypeAlias = Callable[[Task, TaskTools], Awaitable[Command | Later | None]]


GivingUp: TypeAlias = Callable[[Task, TaskTools], Awaitable[Command | None]]
"""Returns the command that records that a task has failed too often; None if nothing needs to be recorded. A kind
without such a function has its failed tasks marked dead."""


class Kind(NamedTuple):
    """A kind of task: the function that does it, its lane, and what to do when it has failed too often."""

    name: str
    perform: Perform
    lane: str
    give_up: GivingUp | None


KINDS: Final[dict[str, Kind]] = {}

_Perform = TypeVar("_Perform", bound=Perform)


def performs(name: str, *, lane: str = CALLS, give_up: GivingUp | None = None) -> Callable[[_Perform], _Perform]:
    """Registers the function that runs the tasks of a kind."""
    assert lane in LANES, f"there is no lane {lane}"

    def register(perform: _Perform) -> _Perform:
        assert name not in KINDS, f"two functions run the tasks {name}"
        KINDS[name] = Kind(name, perform, lane, give_up)
        allow_task_kind(name)
        return perform

    return register
