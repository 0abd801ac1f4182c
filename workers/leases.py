"""Leases: who may work on something (a reaction, a task), and until when without renewing. A lease is two columns of a
row: a token, new each time the lease is taken, and a time. Everything its holder writes is fenced by the token, so a
run that has been overtaken can no longer change anything. All times are by Postgres's clock.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import asyncpg

from workers.failures import DATABASE_TROUBLE

FREE: Final = "(lease_until IS NULL OR lease_until <= now())"
"""SQL: nobody holds the lease."""

RELEASED: Final = "lease_token = NULL, lease_until = NULL"
"""SQL, for a SET: gives the lease back."""

_RENEWALS_PER_LEASE: Final = 3

_log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Somebody else holds the lease, or its row is gone. The run must stop."""


def must_hold(status: str, what: object) -> None:
    """Raises LeaseLost if a fenced statement, of which this is the command status, changed nothing."""
    if status.endswith(" 0"):
        raise LeaseLost(what)


class LeaseKeeper:
    """Keeps leases on the rows of one table while their holders are at work."""

    def __init__(self, pool: asyncpg.Pool[Any], table: str, key: str, *, lease_seconds: float) -> None:
        self.lease_seconds = lease_seconds
        self._pool = pool
        self._renew = f"""
            UPDATE {table} SET lease_until = now() + $3 * interval '1 second' WHERE {key} = $1 AND lease_token = $2
        """  # noqa: S608 - names of ours

    async def renew(self, key: object, token: UUID) -> None:
        """Renews the lease. Raises LeaseLost."""
        must_hold(await self._pool.execute(self._renew, key, token, self.lease_seconds), key)

    @asynccontextmanager
    async def keeping(
        self, key: object, token: UUID, since: float, renewed: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncIterator[None]:
        """Renews the lease while the block runs, calling `renewed` each time. `since` is when the lease was asked for,
        on the event loop's clock. If it is lost, or cannot be renewed in time, the block is cancelled before anybody
        else may begin, and LeaseLost is raised."""
        deadline = asyncio.timeout_at(since + self.lease_seconds)
        try:
            async with deadline:
                renewing = asyncio.create_task(self._keep_renewing(key, token, deadline, renewed))
                try:
                    yield
                finally:
                    renewing.cancel()
                    await asyncio.gather(renewing, return_exceptions=True)
        except TimeoutError:
            if deadline.expired():
                raise LeaseLost(key) from None
            raise

    async def _keep_renewing(
        self, key: object, token: UUID, deadline: asyncio.Timeout, renewed: Callable[[], Awaitable[None]] | None
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.lease_seconds / _RENEWALS_PER_LEASE)
            asked_at = loop.time()
            try:
                await self.renew(key, token)
                deadline.reschedule(asked_at + self.lease_seconds)
                if renewed is not None:
                    await renewed()
            except LeaseLost:
                deadline.reschedule(asked_at)
                return
            except DATABASE_TROUBLE as error:
                _log.warning("the lease of %s was not renewed (%s)", key, type(error).__name__)
