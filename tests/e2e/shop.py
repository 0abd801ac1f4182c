"""A running Tidegate with a catalogue: what tests of the API stand in.

It is shared, so each test takes principals and products of its own from here and leaves the others' alone.
"""

import itertools
from collections.abc import Mapping
from typing import Any, Final
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
    """The system, and those who come to it."""

    def __init__(
        self, system: System, http: aiohttp.ClientSession, database: "asyncpg.Connection[Any]", listings: Listings
    ) -> None:
        self.system = system
        self.http = http
        self.database = database
        self._listings = listings
        self.staff = self.client("staff", STAFF)
        self.anybody = Client(http, system.url, None)
        self._numbers = itertools.count(1)

    def client(self, role: str, principal: str) -> Client:
        return self.with_token(self.system.token(role, principal), principal)

    def with_token(self, token: str, principal: str = "") -> Client:
        return Client(self.http, self.system.url, token, principal)

    def customer(self) -> Client:
        """A customer who was never here before."""
        return self.client("customer", f"customer-{next(self._numbers)}")

    async def product(self, on_hand: int = 0, *, price_minor: int = 250, currency: str = "GBP") -> str:
        """The SKU of a new product, with so many pieces on hand."""
        sku = f"PRODUCT-{next(self._numbers)}"
        await self._listings.put_on_sale(Article(sku, f"The product {sku}", price_minor, currency))
        if on_hand:
            (await self.staff.post(f"/inventory/{sku}/receipts", {"quantity": on_hand})).ok()
        return sku

    async def product_id(self, sku: str) -> str:
        """Which product the SKU is a variant of."""
        return str(await self.database.fetchval("SELECT product_id FROM variants WHERE sku = $1", sku))

    def mailbox_of(self, sku: str) -> int:
        """Where commands about the stock of a SKU go."""
        return mailbox_of_slot(slot_of_key(sku), _MAILBOXES)

    def mailbox_of_order(self, order_id: str) -> int:
        """Where commands about an order go."""
        return mailbox_of_slot(slot_of_id(UUID(order_id)), _MAILBOXES)

    async def put_entry(self, mailbox: int, fields: Mapping[bytes, bytes]) -> str:
        """Puts anything at all into a mailbox, past the gateway, and tells nobody; returns the entry's id."""
        async with Redis.from_url(self.system.valkey.url) as redis:
            entry_id: Any = await redis.xadd(stream_key(mailbox), dict(fields.items()))
        return str(entry_id.decode())
