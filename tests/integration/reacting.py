"""A reaction that records what it was given, and fails or waits when the test says so; and its row in Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Final

from domain.stock import ReceiveStock
from runtime.mailboxes.sender import Sender
from runtime.records import EventRecord
from runtime.settings import Settings
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.pace import Patience
from workers.leases import LeaseKeeper
from workers.reactions.core import Reaction, Tools
from workers.reactions.positions import Positions
from workers.reactions.run import Runner

LEASE_SECONDS: Final = 0.6
_WITHIN_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.01


class Told(Reaction):
    """Records the seqs it is given; `before` is called first, and may raise or wait."""

    name = "told"
    interests: frozenset[str] | None = frozenset({"stock.received"})
    handle_max_seconds: ClassVar[float] = 5.0

    def __init__(self, config: Settings) -> None:
        super().__init__(config)
        self.handled: list[int] = []
        self.tried: list[int] = []
        self.before: Callable[[EventRecord], Any] = lambda record: None

    async def handle(self, record: EventRecord) -> None:
        self.tried.append(record.seq)
        if (waits := self.before(record)) is not None:
            await waits
        self.handled.append(record.seq)


class ToldMany(Told):
    """The same, up to 100 at a time."""

    handle_max_events: ClassVar[int] = 100

    def __init__(self, config: Settings) -> None:
        super().__init__(config)
        self.groups: list[int] = []

    async def handle_many(self, records: Sequence[EventRecord]) -> None:
        self.groups.append(len(records))
        for record in records:
            self.before(record)
        self.handled.extend(record.seq for record in records)


@asynccontextmanager
async def tools(floor: Shopfloor, **changes: object) -> AsyncIterator[Tools]:
    """The tools of reactions, with the test's own settings."""
    config = Settings().model_copy(
        update={
            "database_url": floor.database_url,
            "redis_url": floor.redis_url,
            "mailbox_count": floor.mailbox_count,
            "reaction_lease_seconds": LEASE_SECONDS,
            "reaction_retry_max_seconds": 0.02,
            **changes,
        }
    )
    async with Sender(config) as sender:
        yield Tools(config, floor.pool, sender)


class Stage:
    """One reaction on a shop floor, run when the test wants it to run."""

    def __init__(self, floor: Shopfloor, reaction: Reaction) -> None:
        self.floor = floor
        self.reaction = reaction
        self.positions = Positions(floor.pool, lease_seconds=LEASE_SECONDS)
        self.leases = LeaseKeeper(floor.pool, "reactions", "name", lease_seconds=LEASE_SECONDS)

    async def begin(self) -> None:
        """Creates its row, at the log's end or its start, as the reaction declares."""
        await self.positions.know([self.reaction])

    async def run(self) -> bool:
        """One run, as a background process makes it."""
        return await Runner(self.floor.pool, lease_seconds=LEASE_SECONDS).run(self.reaction)

    async def row(self) -> dict[str, Any]:
        found = await self.floor.pool.fetchrow("SELECT * FROM reactions WHERE name = $1", self.reaction.name)
        assert found is not None
        return dict(found)

    async def position(self) -> int:
        row = await self.row()
        position: int = row["position"]
        return position

    async def end(self) -> int:
        """The log's last seq."""
        last_seq: int = await self.floor.pool.fetchval("SELECT last_seq FROM event_counter")
        return last_seq

    async def run_to_the_end(self) -> None:
        """Runs it repeatedly, as the background process does, until it has passed the whole log."""

        async def is_there() -> bool:
            return await self.position() >= await self.end()

        await self._run_until("at the log's end", is_there)

    async def fail(self, times: int) -> None:
        """Runs it repeatedly, until the event that is due has failed this many times."""

        async def has_failed() -> bool:
            return bool((await self.row())["failures"] >= times)

        await self._run_until(f"{times} failures", has_failed)

    async def _run_until(self, what: str, look: Callable[[], Awaitable[bool]]) -> None:
        patience = Patience(_WITHIN_SECONDS)
        while not await look():
            assert not patience.is_over(), f"{what}: not within {patience}: {await self.row()}"
            if not await self.run():
                await asyncio.sleep(_POLL_SECONDS)

    async def dead_letters(self) -> list[tuple[int, str]]:
        rows = await self.floor.pool.fetch(
            "SELECT seq, error FROM reaction_dead_letters WHERE reaction = $1 ORDER BY seq", self.reaction.name
        )
        return [(row["seq"], row["error"]) for row in rows]


@asynccontextmanager
async def stage(floor: Shopfloor, kind: type[Told] = Told, **changes: object) -> AsyncIterator[tuple[Stage, Told]]:
    """The reaction, at the start of the log of a shop that has one product."""
    async with tools(floor, **changes) as given:
        reaction = kind(given.config)
        on_stage = Stage(floor, reaction)
        await on_stage.begin()
        await floor.fill(TEA=0)
        yield on_stage, reaction


async def receive(floor: Shopfloor, count: int) -> list[int]:
    """Posts this many receipts; returns the seqs of their events."""
    before = await floor.pool.fetchval("SELECT last_seq FROM event_counter")
    await floor.post_all((ReceiveStock("TEA", 1) for _ in range(count)), actor=STAFF)
    await floor.drain()
    return list(range(before + 1, before + 1 + count))
