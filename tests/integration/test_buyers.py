"""What buyers of quick orders are counted by: known without a query where nobody is counted, and without Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.accounts import CreateAccount
from domain.model import Personal, Secret
from domain.quote.actions.amounts import Percent
from domain.quote.terms.limits import PurchaseLimit, identities
from domain.quote.terms.promotions import Promotion
from domain.terms import PROMOTION, PURCHASE_LIMIT, StateTerms, part_name
from gateway.identity.buyers import Buyers
from gateway.realtime.tail import Tail
from runtime.engine import create_engine
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.system import eventually_seen

_KEY = b"of these tests"
_ID = UUID(int=7)
_LIMIT = StateTerms(part_name(PURCHASE_LIMIT, _ID), purchase_limit=PurchaseLimit(_ID, 3))
_WITHIN_SECONDS = 5.0


class _Watched:
    """The buyers of a gateway, and the tail and the engine that they have."""

    def __init__(self, engine: AsyncEngine, buyers: Buyers, account_id: UUID) -> None:
        self.engine = engine
        self.buyers = buyers
        self.account = str(account_id)

    async def becomes(self, *known_by: str) -> None:
        """Returns once the customer is counted by all of these."""

        async def are() -> bool:
            return await self.buyers.identities(self.account, None) == known_by

        await eventually_seen(f"counted by {known_by}", are, within_seconds=_WITHIN_SECONDS)


@asynccontextmanager
async def _running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def watched(floor: Shopfloor) -> AsyncIterator[_Watched]:
    account_id = floor.new_id(1)
    created = CreateAccount(account_id, Personal("ada@example.com"), Personal("Ada"), "customer", Secret("x"))
    await floor.post(created, actor=STAFF)
    await floor.drain()
    engine = create_engine(floor.database_url, pool_size=2)
    tail = Tail(engine, silence_seconds=0.1)
    buyers = Buyers(engine, _KEY)
    tail.watch(buyers.take)
    async with _running(tail.run(), buyers.run(tail.watching)):
        await tail.watching.wait()
        yield _Watched(engine, buyers, account_id)
    await engine.dispose()


async def _state(floor: Shopfloor, *said: StateTerms) -> None:
    posted = await floor.post_all(said, actor=STAFF)
    await floor.drain()
    assert await floor.statuses(posted) == ["applied"] * len(said)


async def test_a_customer_is_counted_by_account_and_mailbox_as_long_as_buyers_are_counted(
    floor: Shopfloor, watched: _Watched
) -> None:
    await watched.becomes()
    await _state(floor, _LIMIT)
    await watched.becomes(*identities(watched.account, "ada@example.com", _KEY))
    typed = await watched.buyers.identities(watched.account, "else@example.com")
    assert typed == identities(watched.account, "ada@example.com", _KEY, typed="else@example.com")
    assert await watched.buyers.identities("machine", None) == ("customer:machine",)
    await _state(floor, StateTerms(_LIMIT.name))
    await watched.becomes()


async def test_terms_without_a_limit_per_buyer_count_no_buyers(floor: Shopfloor, watched: _Watched) -> None:
    half = Promotion(_ID, 0, "Half", Percent(percent_bp=5_000), coded=True, uses_per_customer=1)
    await _state(floor, StateTerms(part_name(PROMOTION, _ID), promotion=half), _LIMIT)
    await watched.becomes(*identities(watched.account, "ada@example.com", _KEY))
    await _state(floor, StateTerms(_LIMIT.name))
    await watched.becomes()


async def test_guests_are_counted_by_the_mailbox_whatever_the_shop_limits(watched: _Watched) -> None:
    assert await watched.buyers.identities("guest:1", "eve+1@example.com") == identities(None, "eve@example.com", _KEY)


async def test_an_order_does_not_need_postgres_to_be_counted_by_its_account(
    floor: Shopfloor, watched: _Watched
) -> None:
    await _state(floor, _LIMIT)
    await watched.becomes(*identities(watched.account, "ada@example.com", _KEY))
    await floor.pool.execute("ALTER TABLE accounts RENAME TO elsewhere")
    assert await watched.buyers.identities(watched.account, None) == (f"customer:{watched.account}",)
    await floor.pool.execute("ALTER TABLE elsewhere RENAME TO accounts")


async def test_terms_that_cannot_be_read_are_read_later(
    floor: Shopfloor, watched: _Watched, caplog: pytest.LogCaptureFixture
) -> None:
    async def tried() -> bool:
        return "the terms cannot be read" in caplog.text

    await _state(floor, _LIMIT)
    await floor.pool.execute("ALTER TABLE terms RENAME TO elsewhere")
    other = Buyers(watched.engine, _KEY)
    watching = asyncio.Event()
    watching.set()
    async with _running(other.run(watching)):
        await eventually_seen("an attempt that fails", tried, within_seconds=_WITHIN_SECONDS)
        assert await other.identities(watched.account, None) == ()
        await floor.pool.execute("ALTER TABLE elsewhere RENAME TO terms")
        known_by = identities(watched.account, "ada@example.com", _KEY)
        await _Watched(watched.engine, other, UUID(watched.account)).becomes(*known_by)
