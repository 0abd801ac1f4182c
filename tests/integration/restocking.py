"""A kind of task that only tests know, written for every receipt of stock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import asyncpg
import pytest

from domain import tasks as domain_tasks
from domain.model import Command
from domain.stock import ReceiveStock, StockReceived
from domain.tasks import NewTask
from tests.integration.background import Background, until
from tests.integration.shopfloor import STAFF
from workers.tasks import kinds
from workers.tasks.kinds import CALLS, Kind, TaskTools
from workers.tasks.queue import Task

Perform = Callable[[Task, TaskTools], Awaitable[Command | None]]

KIND = "restock"


class Kinds:
    """A kind of task that only this test knows: every receipt of stock schedules one for its SKU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.schedule(lambda event: (NewTask(KIND, event.sku, {"quantity": event.quantity}),))

    def schedule(self, scheduler: Callable[[StockReceived], Sequence[NewTask]]) -> None:
        self._monkeypatch.setitem(domain_tasks._SCHEDULERS, StockReceived, scheduler)  # type: ignore[misc]

    def do(self, perform: Perform) -> None:
        self._monkeypatch.setitem(kinds.KINDS, KIND, Kind(KIND, perform, CALLS, None))


async def receive(tasks: Background, *skus: str) -> list[UUID]:
    """Causes a task for each of the SKUs, in this order; returns the ids of the receipts."""
    posted = []
    for number, sku in enumerate(skus, start=1):
        posted.append(await tasks.floor.post(ReceiveStock(sku, number), actor=STAFF))
        await tasks.floor.drain()
    await until(lambda: recorded(tasks, posted))
    return posted


async def recorded(tasks: Background, command_ids: Sequence[UUID]) -> bool:
    query = "SELECT count(*) FROM commands WHERE id = ANY($1::uuid[])"
    return bool(await tasks.pool.fetchval(query, command_ids) == len(command_ids))


async def rows_of(tasks: Background) -> list[asyncpg.Record]:
    rows: list[asyncpg.Record] = await tasks.pool.fetch("SELECT * FROM tasks ORDER BY created_seq, id")
    return rows
