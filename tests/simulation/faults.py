"""What goes wrong in a simulation, each at a named point, and for real: transactions are ended by Postgres, connections
cut by Redis, and a worker that crashes simply never gets to its next line.

A worker's fate travels with its task; the inbox and the publisher it uses are the real ones, which look it up first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Final
from uuid import UUID

import asyncpg
from redis.asyncio import Redis

from runtime.database import asyncpg_dsn
from runtime.feed import Publisher
from runtime.mailboxes.inbox import Entry, Inbox
from runtime.mailboxes.redis_keys import awake_key

BEFORE_READ: Final = "before reading"
AFTER_COMMIT: Final = "after commit, before publishing"
BEFORE_TRIM: Final = "after publishing, before trimming"
HALF_ASLEEP: Final = "between taking `awake` away and the second look"
CRASH_POINTS: Final = (BEFORE_READ, AFTER_COMMIT, BEFORE_TRIM, HALF_ASLEEP)


class Crash(BaseException):
    """The worker is gone. No handler of errors may see it, as none would see a SIGKILL."""


class Fate:
    """A worker's end: at the `visits`-th time it comes to `point`. Without a point it lives for ever."""

    def __init__(self, point: str | None = None, visits: int = 0) -> None:
        self._point = point
        self._visits = visits

    def strikes(self, point: str) -> bool:
        if point != self._point:
            return False
        self._visits -= 1
        return self._visits == 0

    def meet(self, point: str) -> None:
        """Goes by a point. Raises Crash if this is the end."""
        if self.strikes(point):
            raise Crash(point)


fate: ContextVar[Fate] = ContextVar("fate", default=Fate())  # noqa: B039 - a fate without a point never changes


class MortalInbox(Inbox):
    """The inbox of workers that may crash over it."""

    async def read_each(
        self, positions: Mapping[int, str], count: int, *, wait_milliseconds: int | None = None
    ) -> dict[int, list[Entry]]:
        fate.get().meet(BEFORE_READ)
        return await super().read_each(positions, count, wait_milliseconds=wait_milliseconds)

    async def trim(self, positions: Mapping[int, str], identity: UUID) -> list[int]:
        fate.get().meet(BEFORE_TRIM)
        return await super().trim(positions, identity)

    async def fall_asleep(self, actor: str, positions: Mapping[int, str]) -> bool:
        if fate.get().strikes(HALF_ASLEEP):
            await self._client.delete(*map(awake_key, positions))
            raise Crash(HALF_ASLEEP)
        return await super().fall_asleep(actor, positions)


class MortalPublisher(Publisher):
    """The publisher of workers that may crash before they use it."""

    async def publish(self, messages: Iterable[tuple[str, str]]) -> None:
        fate.get().meet(AFTER_COMMIT)
        await super().publish(messages)


# A sequence counts on whatever is rolled back. The last trigger is deferred: it runs in the commit, before it counts.
_DOOM: Final = """
    CREATE SEQUENCE doom MINVALUE -1000000 START 1;
    CREATE FUNCTION meet_doom() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_sleep(random() * {slowness_seconds});
        IF nextval('doom') = 0 THEN
            PERFORM pg_terminate_backend(pg_backend_pid());
            PERFORM pg_sleep(1);
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER doom BEFORE INSERT ON orders FOR EACH STATEMENT EXECUTE FUNCTION meet_doom();
    CREATE TRIGGER doom BEFORE INSERT ON commands FOR EACH STATEMENT EXECUTE FUNCTION meet_doom();
    CREATE CONSTRAINT TRIGGER doom AFTER UPDATE ON mailboxes DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION meet_doom();
"""


class Doom:
    """Makes writing slow, so that others come in between, and ends the connection of some later transaction, in its
    middle or in its commit."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    async def prepare(self, slowness_seconds: float) -> None:
        """Each writing of a table takes up to so much longer from now on."""
        await self._execute(_DOOM.format(slowness_seconds=slowness_seconds))

    async def arm(self, visits: int) -> None:
        """Strikes at the `visits`-th of the places that transactions come to from now on."""
        await self._execute(f"SELECT setval('doom', {-visits})")

    async def disarm(self) -> None:
        await self._execute("SELECT setval('doom', 1)")

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(asyncpg_dsn(self._database_url))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


async def cut_connections(client: Redis) -> None:
    """Redis closes every connection but the one that says so."""
    await client.client_kill_filter(_type="normal", skipme=True)
