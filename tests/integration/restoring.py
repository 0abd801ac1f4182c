"""A database that is restored from a backup under a shop at work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from runtime.branches import Branches, read_branches
from runtime.database import asyncpg_dsn
from runtime.mailboxes.rejoin import Rejoined, rejoin
from tests.integration.shopfloor import Shopfloor
from tests.servers import Databases


async def branches(database_url: str) -> Branches:
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    try:
        return await read_branches(connection)
    finally:
        await connection.close()


async def brought_into_step(floor: Shopfloor) -> Rejoined:
    """Does what a worker's sweep and `tidegate up` do."""
    return await rejoin(floor.pool, floor.redis, floor.inbox, range(floor.mailbox_count))


@asynccontextmanager
async def backed_up(databases: Databases, database_url: str, redis_url: str) -> AsyncIterator[tuple[Shopfloor, str]]:
    """A shop with a hundred mugs, and the URL of its backup."""
    async with Shopfloor(database_url, redis_url) as floor:
        await floor.fill(MUG=100)
        await brought_into_step(floor)
    with databases.copy(database_url) as backup:
        async with Shopfloor(database_url, redis_url, numbers=floor.numbers) as floor:
            yield floor, backup
