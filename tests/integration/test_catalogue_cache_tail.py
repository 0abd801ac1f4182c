"""The catalogue's cache, which follows the tail: changes that the feed loses are seen soon all the same, and what may
be outdated is not served for long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from domain.catalogue import SetVariant, VariantFields
from gateway.catalogue.cache import CatalogueCache, Page, page_of
from gateway.realtime.tail import Tail
from ops.articles import Article, listing
from runtime.engine import create_engine
from tests.integration.shopfloor import PRICE_MINOR, STAFF, Shopfloor
from tests.system import eventually_seen

SILENCE_SECONDS = 0.1
WITHIN = 1.0
MUG = listing(Article("MUG", "Mug", PRICE_MINOR, "GBP")).product_id


class Window:
    """One gateway's cache of one price, read from the table when it is not cached."""

    def __init__(self, floor: Shopfloor, tail: Tail) -> None:
        self._floor = floor
        self.reads = 0
        self.cache = CatalogueCache(
            max_bytes=10**6,
            level_seconds=2 * SILENCE_SECONDS,
            level_at=lambda: tail.level_at,
            log_seq=lambda: tail.seq,
        )
        tail.watch(self.cache.take)

    async def price(self) -> int:
        page = await self.cache.get_or_make(b"", self._read)
        return int(page.plain.body)

    async def _read(self, _: int) -> Page:
        self.reads += 1
        price = await self._floor.pool.fetchval("SELECT price_minor FROM variants WHERE sku = 'MUG'")
        return await page_of(str(price).encode(), {})


@asynccontextmanager
async def _window(floor: Shopfloor, database_url: str) -> AsyncIterator[Window]:
    engine = create_engine(database_url, pool_size=2)
    tail = Tail(engine, silence_seconds=SILENCE_SECONDS)
    window = Window(floor, tail)
    running = asyncio.create_task(tail.run())
    try:
        await tail.watching.wait()
        yield window
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await engine.dispose()


@pytest.fixture
async def window(floor: Shopfloor) -> AsyncIterator[Window]:
    await floor.fill(MUG=1)
    async with _window(floor, floor.database_url) as opened:
        yield opened


async def _change_price(floor: Shopfloor, price_minor: int) -> None:
    """The tail gets nothing from the feed: every message is lost."""
    await floor.post(SetVariant(MUG, VariantFields("MUG", price_minor, "GBP")), actor=STAFF)
    await floor.drain()


async def test_a_new_price_is_seen_though_the_feed_lost_it(floor: Shopfloor, window: Window) -> None:
    for price_minor in range(PRICE_MINOR + 1, PRICE_MINOR + 4):
        await window.price()
        await _change_price(floor, price_minor)

        async def seen(wanted: int = price_minor) -> bool:
            return await window.price() == wanted

        await eventually_seen(f"the price {price_minor}", seen, within_seconds=WITHIN)


async def test_while_nothing_changes_it_is_not_read_again(window: Window) -> None:
    """On a busy machine the tail may be late once in a while, and what it has not confirmed in time is read again."""

    async def unread() -> bool:
        assert await window.price() == PRICE_MINOR
        before, loop = window.reads, asyncio.get_running_loop()
        until = loop.time() + 10 * SILENCE_SECONDS
        while loop.time() < until:
            assert await window.price() == PRICE_MINOR
            await asyncio.sleep(SILENCE_SECONDS / 10)
        return window.reads == before

    await eventually_seen("a second in which it is not read again", unread, within_seconds=5)


async def test_without_a_following_tail_it_is_read_again_and_again(floor: Shopfloor) -> None:
    await floor.fill(MUG=1)
    engine = create_engine("postgresql://nobody@127.0.0.1:1/nowhere", pool_size=1)
    tail = Tail(engine, silence_seconds=SILENCE_SECONDS)
    window = Window(floor, tail)
    running = asyncio.create_task(tail.run())
    try:
        assert await window.price() == PRICE_MINOR
        await _change_price(floor, PRICE_MINOR + 1)

        async def seen() -> bool:
            return await window.price() == PRICE_MINOR + 1

        await eventually_seen("the new price", seen, within_seconds=WITHIN)
        assert window.reads > 1
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await engine.dispose()
