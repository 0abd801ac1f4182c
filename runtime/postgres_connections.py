"""asyncpg's connection and pool, with a liveness check of idle connections (see `runtime.liveness`)."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final, cast

import asyncpg

from runtime.liveness import Liveness
from runtime.postgres_types import LearnedConnection

# How long closing politely may take: the server may be gone.
_GOODBYE_SECONDS: Final = 1.0
# How long giving a connection back may take, which resets it, or waits until a cancelled statement has ended.
_RELEASE_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


class Peer:
    """The server as one pool sees it: connections last used before `silent_at` are closed without a goodbye."""

    def __init__(self) -> None:
        self.silent_at = float("-inf")


class Connection(LearnedConnection):
    """A connection that knows when it last worked. `peer` and `liveness` are set when it is opened."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.opened_at = self._heard_at = time.monotonic()
        """When it was open (`time.monotonic`), or a little later."""
        self._peer = Peer()
        self._liveness: Liveness

    def begin(self, liveness: Liveness, peer: Peer) -> None:
        """Call once, when it is open."""
        self._liveness, self._peer = liveness, peer
        # The transport is private to asyncpg, but there is no other way to get at the socket.
        liveness.keep_alive(self._transport.get_extra_info("socket"))

    def rests(self) -> None:
        """Marks the connection as idle from now on; it has worked until now."""
        self._heard_at = time.monotonic()

    async def is_alive(self) -> bool:
        """Whether it can be used: it was until a moment ago, or it answers a query. If not, it is closed, and those
        that have been idle even longer will be closed without a goodbye."""
        if time.monotonic() - self._heard_at < self._liveness.idle_seconds:
            return True
        asked = time.monotonic()
        try:
            async with asyncio.timeout(self._liveness.answer_seconds):
                await self.execute("SELECT 1")
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            _log.info("a connection to Postgres was dead (%s); opening another", type(error).__name__)
            self._peer.silent_at = asked
            self.terminate()
            return False
        self._heard_at = time.monotonic()
        return True

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's signature
        """Closes politely if the server may still be there, and never waits for long."""
        if self._heard_at <= self._peer.silent_at:
            self.terminate()
            return
        try:
            await super().close(timeout=min(timeout or _GOODBYE_SECONDS, _GOODBYE_SECONDS))
        except (TimeoutError, OSError):
            self.terminate()


class Pool(asyncpg.Pool):  # type: ignore[misc]  # asyncpg has no types
    """A pool that never hands out a dead connection. The first one found also takes out those that were idle at the
    same time."""

    async def _acquire(self, timeout: float | None) -> Any:  # noqa: ASYNC109 - asyncpg's signature
        # Every way to acquire a connection goes through here.
        proxy = await super()._acquire(timeout)
        connection: Connection = proxy._con
        try:
            if await connection.is_alive():
                return proxy
        except BaseException:  # the caller is gone, so nobody else would return the connection
            connection.terminate()
            raise
        await self.expire_connections()  # being terminated, it is already back in the pool and will be reopened
        return await super()._acquire(timeout)

    async def release(self, connection: Any, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's
        if (open_one := connection._con) is not None:
            open_one.rests()
        try:
            await super().release(connection, timeout=timeout or _RELEASE_SECONDS)
        except TimeoutError:  # it is closed; whatever it was used for has succeeded or failed already
            _log.info("a connection to Postgres was dead when it was given back; it is closed")


async def create_pool(
    dsn: str,
    *,
    size: int,
    connect_seconds: float,
    command_timeout: float | None,
    server_settings: dict[str, str],
    reset: Any = None,
    liveness: Liveness | None = None,
) -> asyncpg.Pool[Any]:
    """Like asyncpg's, but connections are opened on first use. `liveness` defaults to the settings."""
    doubts, peer = liveness or Liveness.configured(), Peer()

    async def begin(connection: Connection) -> None:
        connection.begin(doubts, peer)

    pool = Pool(
        dsn,
        connection_class=Connection,
        record_class=asyncpg.Record,
        min_size=0,
        max_size=size,
        max_queries=50_000,
        max_inactive_connection_lifetime=300.0,
        connect=None,
        setup=None,
        init=begin,
        reset=reset,
        loop=None,
        timeout=connect_seconds,
        command_timeout=command_timeout,
        server_settings=server_settings,
    )
    return cast("asyncpg.Pool[Any]", await pool)
