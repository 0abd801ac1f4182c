"""`python -m tests.past FILE` writes a past with today's code."""

from __future__ import annotations

import asyncio
import gzip
import io
import sys
from pathlib import Path
from typing import Final

import msgspec
from redis.asyncio import Redis

from tests import servers
from tests.integration.shopfloor import Shopfloor
from tests.past import MAILBOXES, NEWER, Past
from tests.past.writer import Writer

# Partitions are read by way of what they are partitions of: which there are depends on the day.
_TABLES: Final = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1
"""


async def taken(floor: Shopfloor, waiting: list[str]) -> Past:
    """Reads what the servers hold; commands of these names wait."""
    async with floor.pool.acquire() as connection:
        revision: str = await connection.fetchval("SELECT version_num FROM alembic_version")
        names = await connection.fetch(_TABLES)
        tables = {}
        for (name,) in names:
            if name == "alembic_version":
                continue
            columns = [
                row[0]
                for row in await connection.fetch(
                    "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0"
                    " AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
                    name,
                )
            ]
            rows = io.BytesIO()
            await connection.copy_from_query(f"SELECT {', '.join(columns)} FROM {name}", output=rows)
            if rows.getvalue():
                tables[name] = (columns, rows.getvalue().decode())
    keys: dict[str, bytes] = {}
    async with Redis.from_url(floor.redis_url) as client:
        async for key in client.scan_iter():
            if await client.ttl(key) == -1 and (dumped := await client.dump(key)) is not None:
                keys[key.decode()] = dumped
    return Past(revision, tables, keys, waiting)


async def _written(database_url: str, redis_url: str) -> Past:
    async with Shopfloor(database_url, redis_url, mailbox_count=MAILBOXES) as floor:
        return await taken(floor, await Writer(floor).write())


def main() -> None:
    """Writes the named file, using its own servers."""
    assert not NEWER, "it would lack what came since"
    with servers.databases() as databases, servers.shared_valkey() as valkey, databases.migrated() as database_url:
        past = asyncio.run(_written(database_url, valkey.url))
    Path(sys.argv[1]).write_bytes(gzip.compress(msgspec.json.encode(past), mtime=0))


if __name__ == "__main__":
    main()
