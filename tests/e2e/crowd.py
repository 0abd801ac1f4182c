"""Many followers of the feed at once, each with its own rights, on the client that we ship; and orders pouring in
meanwhile.

After every fault each of them must have received exactly what the log holds for it, event by event.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, aclosing
from itertools import cycle, islice
from types import TracebackType
from typing import Final, NamedTuple, Self

import aiohttp
from redis.exceptions import RedisError

from domain.ids import SLOT_COUNT, new_id
from domain.model import Actor, Wanted
from domain.orders import PlaceOrder
from ops.articles import Article
from runtime.mailboxes.post import MailboxesUnavailable
from runtime.mailboxes.sender import Sender
from runtime.settings import Settings
from tests.e2e.feed import Event, log, visible
from tests.e2e.ledger import Ledger, stock_up
from tests.listings import Listings
from tests.system import System, eventually_seen
from tidegate.client import Feed

SKUS: Final = ("KETTLE", "TEAPOT", "TRAY", "SPOON")
# Further lines of large orders, which make their events several kilobytes long.
PARTS: Final = tuple(f"PART-{number}" for number in range(40))
CUSTOMERS: Final = tuple(f"customer-{number}" for number in range(10))

_LEVEL_SECONDS: Final = 30.0
_AT_ONCE: Final = 250
_PATIENCE_SECONDS: Final = 20.0


class Interest(NamedTuple):
    """Topics, and whose they are: a customer's, or staff's without one."""

    topics: tuple[str, ...]
    customer: str | None = None


class Follower:
    """One follower of the crowd."""

    def __init__(self, feed: Feed, interest: Interest, after: int) -> None:
        self.feed = feed
        self.interest = interest
        self.after = after
        self.events: list[Event] = []

    async def follow(self) -> None:
        """Records every event until cancelled."""
        async with aclosing(aiter(self.feed)) as events:
            async for event in events:
                self.events.append(event)

    def is_level(self, seq: int) -> bool:
        """Whether it has everything up to `seq`, going by the last message it received."""
        return self.feed.seq != "now" and self.feed.seq >= seq


class Crowd:
    """`async with Crowd(system, 200) as crowd:` follows from the log's current end. A test ends by awaiting
    `crowd.proves()`."""

    def __init__(self, system: System, count: int, interests: Sequence[Interest] = ()) -> None:
        self.followers: list[Follower] = []
        self._system = system
        self._interests = list(islice(cycle(interests or _interests()), count))
        self._stack = AsyncExitStack()
        self._following: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        async with Ledger(self._system) as ledger:
            after = await ledger.last_seq()
        connector = aiohttp.TCPConnector(limit=0)
        http = await self._stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        for interest in self._interests:
            role, subject = ("staff", None) if interest.customer is None else ("customer", interest.customer)
            feed = Feed(http, self._system.url, self._system.token(role, subject), interest.topics, after=after)
            self.followers.append(Follower(feed, interest, after))
        self._following = [asyncio.create_task(follower.follow()) for follower in self.followers]
        await eventually_seen("everyone connected", self._all_connected, within_seconds=_LEVEL_SECONDS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for following in self._following:
            following.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        await self._stack.aclose()

    @property
    def breaks(self) -> int:
        """How often connections were lost and re-established, in total."""
        return sum(follower.feed.connections - 1 for follower in self.followers)

    async def is_level(self) -> int:
        """Waits until everyone has everything that is committed by now; returns its seq."""
        async with Ledger(self._system) as ledger:
            last = await ledger.last_seq()

        async def all_level() -> bool:
            for following in self._following:
                if following.done():
                    following.result()
            return all(follower.is_level(last) for follower in self.followers)

        await eventually_seen(f"everyone at {last}", all_level, within_seconds=_LEVEL_SECONDS)
        return last

    async def proves(self) -> None:
        """Fails unless every follower received exactly what the log holds for it, and at least one event."""
        last = await self.is_level()
        async with Ledger(self._system) as ledger:
            events = await log(ledger.connection, min(follower.after for follower in self.followers), last)
        expected: dict[tuple[Interest, int], list[Event]] = {}
        for follower in self.followers:
            key = follower.interest, follower.after
            if key not in expected:
                behind = [event for event in events if event["seq"] > follower.after]
                expected[key] = visible(behind, *follower.interest.topics, to=follower.interest.customer)
                assert expected[key], f"{follower.interest} sees something"
            got = [event for event in follower.events if event["seq"] <= last]
            assert got == expected[key], follower.interest

    async def _all_connected(self) -> bool:
        return all(follower.feed.connections for follower in self.followers)


def _interests() -> Iterator[Interest]:
    yield Interest(("log",))
    yield Interest(("orders", "inventory", "catalogue"))
    for customer in CUSTOMERS:
        yield Interest(("me",), customer)
    for sku in SKUS:
        yield Interest((f"inventory/{sku}",))
    yield Interest(("me", "catalogue"), CUSTOMERS[0])


class Pour:
    """Orders of all customers, posted past the gateway, as fast as the mailboxes take them. An async context
    manager."""

    def __init__(self, system: System, *, large: bool = False) -> None:
        self._system = system
        self._parts = PARTS if large else ()
        self._sender = Sender(Settings.model_validate({"REDIS_URL": system.valkey.url}))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._sender.__aexit__(kind, error, traceback)

    async def pour(self, count: int) -> None:
        """Posts this many orders; those that cannot reach Redis are not placed."""
        for start in range(0, count, _AT_ONCE):
            await asyncio.gather(*(self._place(number) for number in range(start, min(count, start + _AT_ONCE))))

    async def committed(self, count: int) -> None:
        """Posts this many orders, and returns when the log has as many more events."""
        async with Ledger(self._system) as ledger:
            wanted = await ledger.last_seq() + count
            await self.pour(count)

            async def is_there() -> bool:
                return await ledger.last_seq() >= wanted

            await eventually_seen(f"event {wanted}", is_there, within_seconds=_LEVEL_SECONDS)

    async def _place(self, number: int) -> None:
        order_id = new_id(int(time.time() * 1000), random.randrange(SLOT_COUNT), secrets.randbits(62))
        customer = CUSTOMERS[number % len(CUSTOMERS)]
        skus = (SKUS[number % len(SKUS)], *self._parts)
        order = PlaceOrder(order_id, customer, tuple(Wanted(sku, 1) for sku in skus))
        try:
            await self._sender.send(order, Actor.in_role(customer, "customer"), patience_seconds=_PATIENCE_SECONDS)
        except (MailboxesUnavailable, RedisError):
            return


async def open_shop(system: System) -> None:
    """Stocks plenty of everything that is ordered."""
    await stock_up(system, SKUS + PARTS)


async def new_article(system: System) -> None:
    """Changes the catalogue, for those who follow it."""
    async with Listings(system) as listings:
        await listings.put_on_sale(Article(f"NEW-{secrets.token_hex(4).upper()}", "New", 250, "GBP"))
