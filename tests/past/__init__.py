"""A shop's past as one version of the code wrote it: every type of event in the log, and a waiting command of every
type.

`python -m tests.past FILE` writes one with today's code (`writer`, and `money` for what is about money); `Past.load`
puts one of those in `tests/data/past` into today's servers. See the README there.
"""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Final

import asyncpg
import msgspec
from redis.asyncio import Redis

from runtime.database import asyncpg_dsn

MAILBOXES: Final = 4

NEWER: Final[tuple[str, ...]] = (
    # Events by their type, commands by their name.
)
"""The kinds that no past in `tests/data/past` has yet, since they came after the newest. Whoever writes the next one
writes it with them, and takes them out of here."""


class Past(msgspec.Struct, frozen=True):
    """`revision` is the database's; `tables` are in COPY's text format, each with its columns; `keys` are Redis's, as
    DUMP gives them; `waiting` are the names of the commands in the mailboxes, which the first pasts do not say."""

    revision: str
    tables: dict[str, tuple[list[str], str]]
    keys: dict[str, bytes]
    waiting: list[str] = []

    @classmethod
    def read(cls, path: Path) -> Past:
        return msgspec.json.decode(gzip.decompress(path.read_bytes()), type=cls)

    async def load(self, database_url: str, redis_url: str) -> None:
        """Fills a database that was migrated to `revision`, and an empty Redis."""
        connection = await asyncpg.connect(asyncpg_dsn(database_url))
        try:
            await connection.execute("SET session_replication_role = replica")  # the tables may come in any order
            for table, (columns, rows) in self.tables.items():
                await connection.execute(f"DELETE FROM {table}")
                await connection.copy_to_table(table, source=io.BytesIO(rows.encode()), columns=columns)
        finally:
            await connection.close()
        async with Redis.from_url(redis_url) as client:
            for key, dumped in self.keys.items():
                await client.restore(key, 0, dumped)

    @property
    def kinds(self) -> set[str]:
        """The types of events in its log, and the names of the commands that wait."""
        columns, rows = self.tables["events"]
        place = columns.index("type")
        return {row.split("\t")[place] for row in rows.splitlines()} | set(self.waiting)
