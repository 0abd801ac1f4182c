"""Leases are kept while their holders work; a holder that loses its lease is stopped at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast
from uuid import UUID

import pytest

from tests import pace
from workers import leases
from workers.leases import LeaseKeeper, LeaseLost

_TOKEN = UUID(int=1)


class Keeper(LeaseKeeper):
    """Keeps a lease that is renewed as the test says."""

    def __init__(self, renewing: Callable[[], Awaitable[None]], *, lease_seconds: float) -> None:
        super().__init__(cast("Any", None), "tasks", "id", lease_seconds=lease_seconds)
        self._renewing = renewing

    async def renew(self, key: object, token: UUID) -> None:
        await self._renewing()

    async def work(self, work: Awaitable[object], renewed: Callable[[], Awaitable[None]] | None = None) -> None:
        """Works under the lease; fails if that neither ends nor is stopped."""
        async with asyncio.timeout(pace.seconds(20)):
            async with self.keeping("it", _TOKEN, asyncio.get_running_loop().time(), renewed):
                await work


async def test_a_holder_that_loses_its_lease_is_stopped_long_before_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leases, "_RENEWALS_PER_LEASE", 360_000)

    async def lost() -> None:
        raise LeaseLost("it")

    with pytest.raises(LeaseLost):
        await Keeper(lost, lease_seconds=3_600).work(asyncio.Event().wait())


async def test_a_holder_that_cannot_renew_it_is_stopped_when_it_ends() -> None:
    tried = 0

    async def away() -> None:
        nonlocal tried
        tried += 1
        raise OSError("Postgres is away")

    with pytest.raises(LeaseLost):
        await Keeper(away, lease_seconds=0.3).work(asyncio.Event().wait())
    assert tried >= 1


async def test_a_lease_that_is_renewed_outlasts_its_first_end() -> None:
    renewals = 0
    enough = asyncio.Event()

    async def renew() -> None:
        """It always succeeds."""

    async def renewed() -> None:
        nonlocal renewals
        renewals += 1
        if renewals == 9:
            enough.set()

    await Keeper(renew, lease_seconds=1.5).work(enough.wait(), renewed)
    assert renewals == 9


async def test_a_timeout_of_the_work_itself_is_not_a_lost_lease() -> None:
    async def renew() -> None:
        """It always succeeds."""

    async def work() -> None:
        raise TimeoutError("the receiver does not answer")

    with pytest.raises(TimeoutError, match="receiver"):
        await Keeper(renew, lease_seconds=60).work(work())
