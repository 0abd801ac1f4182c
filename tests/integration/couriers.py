"""Webhooks delivered in this process: the reactions as a background process runs them, over a shop floor whose
mailboxes are drained meanwhile, and what tests need to register endpoints and to watch them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from domain.disclosure import READS_ALL
from domain.model import Actor, Command, Secret
from domain.stock import ReceiveStock
from domain.webhooks import RegisterWebhook, WebhookFields
from runtime.mailboxes.sender import Sender
from runtime.settings import Settings
from runtime.standard_webhooks import new_secret, reaction_name
from tests.beside import beside
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.system import eventually_seen
from workers.reactions.core import Tools
from workers.reactions.delivery import Deliverer
from workers.reactions.endpoints import Webhooks
from workers.reactions.positions import Positions
from workers.reactions.run import Runner

SKU: Final = "LAMP"
ALL: Final = (READS_ALL,)
WITHIN_SECONDS: Final = 20.0
_LEASE_SECONDS: Final = 30.0


class Endpoint(NamedTuple):
    """A registered endpoint, and the secret that its deliveries are signed with."""

    id: UUID
    secret: str


class Couriers:
    """Delivers over one floor, while the context lasts."""

    def __init__(self, floor: Shopfloor, tools: Tools, deliverer: Deliverer) -> None:
        self.floor = floor
        self._runs: dict[str, asyncio.Task[bool]] = {}
        self._source = Webhooks(tools, deliverer)
        self._positions = Positions(floor.pool, lease_seconds=_LEASE_SECONDS)
        self._runner = Runner(floor.pool, lease_seconds=_LEASE_SECONDS)

    async def work(self) -> None:
        """Drains all mailboxes and runs the reactions that are due."""
        await self.floor.work()
        reactions = {reaction.name: reaction for reaction in await self._source.reactions()}
        await self._positions.know(reactions.values())
        for name in await self._positions.due(reactions):
            if name not in self._runs or self._runs[name].done():
                self._runs[name] = asyncio.create_task(self._runner.run(reactions[name]))

    async def stop(self) -> None:
        """Cancels all deliveries in progress."""
        for run in self._runs.values():
            run.cancel()
        await asyncio.gather(*self._runs.values(), return_exceptions=True)

    async def done(self, command: Command, actor: Actor = STAFF, *, development: bool = False) -> None:
        """Posts the command, as a process in development or in production accepts it, and waits until it is applied."""
        command_id = await self.floor.post(command, actor=actor, development=development)

        async def applied() -> bool:
            return (await self.floor.statuses([command_id]))[0] != "not recorded"

        await eventually_seen(f"{type(command).__name__} applied", applied, within_seconds=WITHIN_SECONDS)
        assert await self.floor.statuses([command_id]) == ["applied"]

    async def register(
        self,
        url: str,
        *event_types: str,
        actor: Actor = STAFF,
        scopes: tuple[str, ...] = ALL,
        development: bool = False,
    ) -> Endpoint:
        endpoint = Endpoint(self.floor.new_id(), new_secret())
        fields = WebhookFields(url, event_types or ("stock.*",))
        command = RegisterWebhook(endpoint.id, fields, Secret(endpoint.secret), scopes)
        await self.done(command, actor, development=development)
        return endpoint

    async def happen(self, count: int = 1) -> list[int]:
        """Causes this many events, of stock received; returns their seqs. An endpoint that is disabled meanwhile is an
        event, too."""
        before = await self._received()
        for _ in range(count):
            await self.done(ReceiveStock(SKU, 1))
        return [seq for seq in await self._received() if seq not in before]

    async def _received(self) -> list[int]:
        rows = await self.floor.pool.fetch("SELECT seq FROM events WHERE type = 'stock.received' ORDER BY seq")
        return [row["seq"] for row in rows]

    async def row(self, endpoint: Endpoint) -> dict[str, Any]:
        row = await self.floor.pool.fetchrow("SELECT * FROM webhooks WHERE id = $1", endpoint.id)
        assert row is not None
        return dict(row)

    async def state(self, endpoint: Endpoint) -> dict[str, Any]:
        """The endpoint's reaction: its position and failures."""
        row = await self.floor.pool.fetchrow("SELECT * FROM reactions WHERE name = $1", reaction_name(endpoint.id))
        return dict(row or {})

    async def deliveries(self, endpoint: Endpoint) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await self.floor.pool.fetch(
            "SELECT seq, attempt, delivered, status, error FROM webhook_deliveries WHERE webhook_id = $1 ORDER BY id",
            endpoint.id,
        )
        return rows

    async def has_failed(self, endpoint: Endpoint, times: int = 1) -> dict[str, Any]:
        """Waits until this many tries in a row have failed; returns its state."""

        async def failed() -> dict[str, Any]:
            state = await self.state(endpoint)
            return state if state["failures"] >= times else {}

        return await eventually_seen(f"{times} failures", failed, within_seconds=WITHIN_SECONDS)

    async def becomes(self, endpoint: Endpoint, status: str) -> dict[str, Any]:
        """Waits until the endpoint has this status; returns its row."""

        async def is_so() -> dict[str, Any]:
            row = await self.row(endpoint)
            return row if row["status"] == status else {}

        return await eventually_seen(f"a webhook that is {status}", is_so, within_seconds=WITHIN_SECONDS)


@asynccontextmanager
async def couriers(floor: Shopfloor, **settings: Any) -> AsyncIterator[Couriers]:
    """Deliveries over this floor, with these settings; SKU is in the catalogue. Nothing may go wrong but what
    the test breaks, and afterwards all tables must agree with the log."""
    config = Settings.model_construct(
        **{
            **Settings().model_dump(),
            "database_url": floor.database_url,
            "redis_url": floor.redis_url,
            "mailbox_count": floor.mailbox_count,
            "webhook_retry_max_seconds": 0.2,
            **settings,
        }
    )
    await floor.fill(**{SKU: 0})
    async with Sender(config) as sender, Deliverer(config) as deliverer:
        running = Couriers(floor, Tools(config, floor.pool, sender), deliverer)
        try:
            async with beside(running.work):
                yield running
        finally:
            await running.stop()
    await floor.drain()
    await floor.verified()
