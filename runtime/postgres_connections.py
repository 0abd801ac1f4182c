"""asyncpg's connections and pool, with doubts about connections that were idle (see `runtime.liveness`)."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final, cast

import asyncpg

from runtime.liveness import Liveness

# A goodbye that nobody hears: the server may be gone without our having noticed.
_GOODBYE_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class Peer:
    """The server as one pool sees it: connections that were last heard before `silent_at` are not worth a goodbye."""

    def __init__(self) -> None:
        self.silent_at = float("-inf")


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """Knows when it was last of use. `peer` and `liveness` are set by whoever opens it."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._heard_at = time.monotonic()
        self._peer = Peer()
        self._liveness: Liveness

    def begin(self, liveness: Liveness, peer: Peer) -> None:
        """To be called once, when it is open."""
        self._liveness, self._peer = liveness, peer
        # The transport is asyncpg's own affair, but no other way leads to the socket.
        liveness.keep_alive(self._transport.get_extra_info("socket"))

    def rests(self) -> None:
        """It has been of use until now, and is idle from now on."""
        self._heard_at = time.monotonic()

    async def is_alive(self) -> bool:
        """Whether it can be used: it has been until a moment ago, or answers when it is asked. One that does not is
        closed, and no goodbye is said to those that have been idle since before."""
        if time.monotonic() - self._heard_at < self._liveness.idle_seconds:
            return True
        asked = time.monotonic()
        try:
            async with asyncio.timeout(self._liveness.answer_seconds):
                await self.execute("SELECT 1")
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            _log.info("a connection to Postgres was found dead (%s); another is opened", type(error).__name__)
            self._peer.silent_at = asked
            self.terminate()
            return False
        self._heard_at = time.monotonic()
        return True

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's signature
        """Says goodbye where somebody may hear it, and never waits for long."""
        if self._heard_at <= self._peer.silent_at:
            self.terminate()
            return
        try:
            await super().close(timeout=min(timeout or _GOODBYE_SECONDS, _GOODBYE_SECONDS))
        except (TimeoutError, OSError):
            self.terminate()


class Pool(asyncpg.Pool):  # type: ignore[misc]  # asyncpg has no types
    """A pool that hands out no connection which has died without a word. The first one found takes those with it that
    have been idle in the meantime."""

    async def _acquire(self, timeout: float | None) -> Any:  # noqa: ASYNC109 - asyncpg's signature
        # All ways to a connection lead through here.
        proxy = await super()._acquire(timeout)
        connection: Connection = proxy._con
        try:
            if await connection.is_alive():
                return proxy
        except BaseException:  # whoever asked does not wait any more, and nobody else knows of it
            connection.terminate()
            raise
        await self.expire_connections()  # terminated, it is back in the pool already, and will be opened anew
        return await super()._acquire(timeout)

    async def release(self, connection: Any, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's
        if (open_one := connection._con) is not None:
            open_one.rests()
        await super().release(connection, timeout=timeout)


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
    """As asyncpg's; connections are opened when first used. Without `liveness` it is as the settings have it."""
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
