"""A running Tidegate with a catalogue, for tests of the API.

It is shared, so each test takes its own principals and products from here and leaves the others' alone.
"""

import copy
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Self
from uuid import UUID

import aiohttp
import asyncpg
from redis.asyncio import Redis

from domain.ids import mailbox_of_slot, slot_of_id, slot_of_key
from ops.articles import Article
from runtime.mailboxes.redis_keys import stream_key
from runtime.settings import Settings
from tests.e2e.api import Client
from tests.listings import Listings
from tests.system import System

STAFF: Final = "shop-staff"
_MAILBOXES: Final[int] = Settings.model_fields["mailbox_count"].default


class Shop:
    """The system, and clients for it."""

    def __init__(
        self, system: System, http: aiohttp.ClientSession, database: "asyncpg.Connection[Any]", listings: Listings
    ) -> None:
        self.system = system
        self.database = database
        self._listings = listings
        self._numbers = itertools.count(1)
        self._meet(http)

    def _meet(self, http: aiohttp.ClientSession) -> None:
        self.http = http
        self.staff = self.client("staff", STAFF)
        self.anybody = Client(http, self.system.url, None)

    @asynccontextmanager
    async def with_lasting_connections(self) -> AsyncIterator[Self]:
        """The same shop, for tests that send thousands of requests: opening a connection takes a third of the time of
        most. Requests that follow each other reach the same gateway."""
        shop = copy.copy(self)
        async with aiohttp.ClientSession() as http:
            shop._meet(http)
            yield shop

    def client(self, role: str, principal: str) -> Client:
        return self.with_token(self.system.token(role, principal), principal)

    def with_token(self, token: str, principal: str = "") -> Client:
        return Client(self.http, self.system.url, token, principal)

    def customer(self) -> Client:
        """A new customer."""
        return self.client("customer", f"customer-{next(self._numbers)}")

    async def take_terms_back(self) -> None:
        """Takes back the taxes, deliveries and promotions that other tests have stated."""
        admin = self.client("admin", "shop-admin")
        for part in (await admin.get("/terms")).ok()["items"]:
            kind, _, part_id = part["name"].partition("/")
            path = f"{kind.replace('_', '-')}s/{part_id}" if part_id else kind
            assert (await admin.delete(f"/terms/{path}")).status == 204

    async def product(
        self, on_hand: int = 0, *, price_minor: int = 250, currency: str = "GBP", sku: str | None = None
    ) -> str:
        """The SKU of a new product with this many pieces on hand."""
        sku = sku or f"PRODUCT-{next(self._numbers)}"
        await self._listings.put_on_sale(Article(sku, f"The product {sku}", price_minor, currency))
        if on_hand:
            (await self.staff.post(f"/inventory/{sku}/receipts", {"quantity": on_hand})).ok()
        return sku

    async def product_id(self, sku: str) -> str:
        """The id of the product that the SKU is a variant of."""
        return str(await self.database.fetchval("SELECT product_id FROM variants WHERE sku = $1", sku))

    async def readiness(self) -> str | None:
        """What a gateway says of its readiness, in a 200 or a 503; None if none answers."""
        try:
            async with self.http.get(f"{self.system.url}/health/ready") as answer:
                return str((await answer.json())["status"])
        except aiohttp.ClientError:
            return None

    def mailbox_of(self, sku: str) -> int:
        """The mailbox of commands about the SKU's stock."""
        return mailbox_of_slot(slot_of_key(sku), _MAILBOXES)

    def mailbox_of_order(self, order_id: str) -> int:
        """The mailbox of commands about the order."""
        return mailbox_of_slot(slot_of_id(UUID(order_id)), _MAILBOXES)

    async def put_entry(self, mailbox: int, fields: Mapping[bytes, bytes]) -> str:
        """Puts any entry at all into a mailbox, past the gateway and without waking a worker; returns the entry's
        id."""
        async with Redis.from_url(self.system.valkey.url) as redis:
            entry_id: Any = await redis.xadd(stream_key(mailbox), dict(fields.items()))
        return str(entry_id.decode())
