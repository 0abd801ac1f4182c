"""A kind of task that only the simulation knows, and the supplier on whom it calls: for every receipt of stock, one
more piece is ordered, and recorded as received once the supplier has confirmed it. The supplier is not part of the
shop: it remembers every call, whatever became of the caller."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Final
from unittest.mock import patch
from uuid import UUID

from domain import tasks as domain_tasks
from domain.model import Command
from domain.stock import AdjustStock, StockReceived
from domain.tasks import NewTask
from tests.simulation.calls import Calls
from workers.failures import Away
from workers.tasks import kinds
from workers.tasks.kinds import CALLS, Kind, TaskTools
from workers.tasks.queue import Task

KIND: Final = "order one more"
PIECES: Final = 1

_TAKES_SECONDS: Final = 0.01


class Supplier:
    """One supplier."""

    def __init__(self, random: Random, calls: Calls) -> None:
        self._random = random
        self._calls = calls
        self.happened: Counter[str] = Counter()
        self.asked: Counter[UUID] = Counter()

    @contextmanager
    def known(self) -> Iterator[None]:
        """While it lasts, receipts of stock lead to tasks."""

        def schedule(event: StockReceived) -> tuple[NewTask]:
            return (NewTask(KIND, event.sku),)

        with (
            patch.dict(domain_tasks._SCHEDULERS, {StockReceived: schedule}),
            patch.dict(kinds.KINDS, {KIND: Kind(KIND, self._perform, CALLS, None)}),
        ):
            yield

    async def _perform(self, task: Task, tools: TaskTools) -> Command:
        with self._calls.about(task.subject):
            await asyncio.sleep(self._random.expovariate(1 / _TAKES_SECONDS))
            mood = self._random.random()
            if mood < 0.05:
                self.happened["supplier away"] += 1
                raise Away("the supplier does not answer")
            if mood < 0.1:
                self.happened["supplier refuses"] += 1
                raise RuntimeError("wrong number")
            self.asked[task.id] += 1
            self.happened["supplier asked again"] += self.asked[task.id] > 1
            await asyncio.sleep(self._random.expovariate(1 / _TAKES_SECONDS))
        return AdjustStock(task.subject, PIECES, "one more")
