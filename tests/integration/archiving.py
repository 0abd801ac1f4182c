"""A shop whose log has partitions of a few events each, and its archive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from ops.archive.limits import Asked
from ops.archive.moving import Moved, Step, archive
from ops.verify import Report, verify
from runtime.partitions import COMMANDS, making
from runtime.settings import Settings
from tests.integration.patrolling import Watch, watching
from tests.integration.shopfloor import FIRST_MS, Shopfloor
from tests.integration.smallshop import Shop, opened
from workers.partitioning import Partitioner

EACH: Final = 7
"""Events of a partition."""

COMMANDS_EACH_MS: Final = 10
"""A partition of commands, whose ids a floor makes of consecutive milliseconds."""
_COMMANDS_MADE: Final = 20
# From a floor's first millisecond until today there are six years: hundreds of partitions of a week that no test needs.
COMMANDS_LATER_DAYS: Final = 4_000


def nothing(name: str, done: str) -> None:
    """Shows nothing."""


async def in_small_partitions(floor: Shopfloor, each: int = EACH) -> Partitioner:
    """Gives an empty log partitions of that size; returns what makes more of them."""
    await floor.pool.execute("DROP TABLE events_first")
    await floor.pool.execute("DROP TABLE commands_first")
    for number in range(_COMMANDS_MADE):
        start = FIRST_MS + number * COMMANDS_EACH_MS
        async with floor.pool.acquire() as connection, connection.transaction():
            for statement in making(COMMANDS, start, start + COMMANDS_EACH_MS):
                await connection.execute(statement)
    sizes = {"log_partition_max_events": each, "command_partition_days": COMMANDS_LATER_DAYS}
    partitioner = Partitioner(Settings().model_copy(update=sizes), floor.pool)
    await partitioner.make()
    return partitioner


def asked(
    *, before_seq: int | None = None, until: datetime | None = None, young: timedelta = timedelta(hours=-1)
) -> Asked:
    """What to archive; by default, no event is too young."""
    return Asked(before_seq, until, datetime.now(UTC) - young)


class Closet:
    """The archive of a shop, whose log is verified and followed to its end; and its patrol."""

    def __init__(self, watch: Watch, folder: Path) -> None:
        self.watch = watch
        self.floor = watch.shop.floor
        self.folder = folder

    async def put_away(self, wanted: Asked | None = None, *, dry_run: bool = False, step: Step = nothing) -> Moved:
        """Archives everything that may be archived, or only what is asked for."""
        wanted = wanted or asked(before_seq=10**6)
        return await archive(self.floor.database_url, self.folder, wanted, dry_run=dry_run, step=step)

    async def verified(self, **how: Any) -> Report:
        """What `tidegate verify` finds."""
        floor = self.floor
        return await verify(floor.database_url, floor.redis_url, mailbox_count=floor.mailbox_count, **how)

    async def first_seq(self) -> int:
        """Where the log begins, as it is stored."""
        seq: int = await self.floor.pool.fetchval("SELECT first_seq FROM log_start")
        return seq

    async def kept(self) -> list[int]:
        """The seqs in the database."""
        return await self.floor.log()

    async def caught_up(self) -> None:
        """Every reaction has come to the end of the log."""
        await self.floor.pool.execute("UPDATE reactions SET position = last_seq FROM event_counter")

    async def last_seq(self) -> int:
        seq: int = await self.floor.pool.fetchval("SELECT last_seq FROM event_counter")
        return seq


@asynccontextmanager
async def closet_of(shop: Shop, folder: Path) -> AsyncIterator[Closet]:
    async with watching(shop) as watch:
        yield Closet(watch, folder)


async def verified_in_small_partitions(floor: Shopfloor) -> Shop:
    """A small shop whose log has small partitions, is verified, and followed to its end."""
    partitioner = await in_small_partitions(floor)
    shop = await opened(floor)
    async with closet_of(shop, Path()) as closet:
        await partitioner.make()
        await closet.watch.go()
        await closet.caught_up()
    return shop
