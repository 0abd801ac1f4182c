"""A small shop to break: everything has happened in it once."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID

import msgspec

from domain.catalogue import ARCHIVED, ChangeProduct, SetVariant, VariantFields
from domain.categories import CategoryFields, ChangeCategory, CreateCategory
from domain.model import Personal, Wanted
from domain.orders import CancelOrder, ConfirmOrder, ExpireOrder, FulfilOrder, PlaceOrder
from domain.stock import AdjustStock
from ops.verify import Report, verify
from runtime.redis_pipeline import Client
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.servers import Databases


class Shop:
    """A small shop in which everything has happened once, and one command still waits in mailbox 3."""

    def __init__(self, floor: Shopfloor) -> None:
        self.floor = floor

    async def open(self) -> None:
        floor = self.floor
        await floor.fill(MUG=100, LAMP=10)
        kept, cancelled = floor.place(0, MUG=3, LAMP=1), floor.place(0, MUG=4)
        self.order_id, self.cancelled_id = kept.order_id, cancelled.order_id
        (
            self.place,
            self.place_cancelled,
            self.cancel,
            self.refused,
        ) = await floor.post_all([kept, cancelled, CancelOrder(cancelled.order_id), floor.place(0, LAMP=99)])
        self.adjust = await floor.post(AdjustStock("LAMP", -1, "broken"), actor=STAFF)
        self.keyed = await floor.post(floor.place(1, MUG=1), key="key-1")
        self.repeated = await floor.post(floor.place(1, MUG=1), key="key-1")
        await floor.drain()
        await self._live_on()
        await floor.put(2, {b"gar": b"bage"})
        await floor.drain(2)
        self.waiting = await floor.post(floor.place(3, MUG=1))
        self.waiting_entry = (await floor.inbox.read(3, "0-0", 1))[0].entry_id

    async def _live_on(self) -> None:
        """The rest of an order's life, and staff's changes of the catalogue; in the end lamps are no longer sold."""
        floor = self.floor
        sold, returned, forgotten = floor.place(0, MUG=2), floor.place(0, MUG=5), floor.place(0, MUG=6)
        guest = PlaceOrder(floor.new_id(0), "guest:1", (Wanted("MUG", 1),), Personal("guest@example.org"))
        self.sold_id, self.returned_id, self.guest_id = sold.order_id, returned.order_id, guest.order_id
        await floor.post_all([sold, returned, forgotten, guest])
        (self.confirm, *_) = await floor.post_all(
            [ConfirmOrder(sold.order_id), FulfilOrder(sold.order_id), ConfirmOrder(returned.order_id)], actor=STAFF
        )
        (self.give_back, _) = await floor.post_all(
            [CancelOrder(returned.order_id), ExpireOrder(forgotten.order_id)], actor=STAFF
        )
        self.category_id, self.empty_id = floor.new_id(), floor.new_id()
        self.mug_id, self.lamp_id = floor.listing("MUG").product_id, floor.listing("LAMP").product_id
        await floor.post_all(
            [
                CreateCategory(self.category_id, CategoryFields("kitchen", "Kitchen")),
                CreateCategory(self.empty_id, CategoryFields("cups", "Cups", self.category_id)),
                ChangeCategory(self.category_id, {"name": "The kitchen"}),
            ],
            actor=STAFF,
        )
        await floor.drain()
        mug = VariantFields("MUG", 120, "GBP", "White", attributes={"colour": "white"})
        await floor.post_all(
            [
                floor.listing("MUG", on_hand=90),
                ChangeProduct(self.mug_id, {"category_id": str(self.category_id)}),
                SetVariant(self.mug_id, mug),
                ChangeProduct(self.lamp_id, {"status": ARCHIVED}),
            ],
            actor=STAFF,
        )
        await floor.drain()
        await floor.post(floor.place(0, MUG=1))
        await floor.drain()

    async def run(self, statement: str, *arguments: object) -> None:
        """Changes exactly one row."""
        assert (await self.floor.pool.execute(statement, *arguments)).endswith(" 1"), statement

    async def rewrite(self, command_id: UUID, **changes: object) -> None:
        """Changes the data of a command's only event."""
        data = await self.floor.pool.fetchval("SELECT data::text FROM events WHERE command_id = $1", command_id)
        said = msgspec.json.encode({**msgspec.json.decode(data), **changes}).decode()
        await self.run("UPDATE events SET data = $2 WHERE command_id = $1", command_id, said)

    async def report(self) -> Report:
        return await verify(self.floor.database_url, self.floor.redis_url, mailbox_count=self.floor.mailbox_count)


async def opened(floor: Shopfloor) -> Shop:
    """The floor's small shop."""
    shop = Shop(floor)
    await shop.open()
    return shop


async def dumped(client: Client) -> list[tuple[bytes | str, int, bytes]]:
    """Each key, the milliseconds for which it stays (0: for ever), and its value. What expires meanwhile is gone."""
    found = [(key, await client.pttl(key), await client.dump(key)) for key in await client.keys()]
    return [(key, max(milliseconds, 0), value) for key, milliseconds, value in found if value is not None]


Copies = Callable[[], AbstractAsyncContextManager[Shop]]
"""Each call opens a copy of a small shop, in a database of its own; Redis is left with what belongs to it."""


@asynccontextmanager
async def copies(
    databases: Databases, redis_url: str, opening: Callable[[Shopfloor], Awaitable[Shop]] = opened
) -> AsyncIterator[Copies]:
    """A small shop to be copied, as `opening` leaves it: that takes longer than most tests that break it."""
    with databases.migrated() as database_url:
        async with Shopfloor(database_url, redis_url) as floor:
            await floor.redis.flushall()
            model = await opening(floor)
            keys = await dumped(floor.redis)

        @asynccontextmanager
        async def copy() -> AsyncIterator[Shop]:
            with databases.copy(database_url) as url:
                async with Shopfloor(url, redis_url, numbers=model.floor.numbers) as own:
                    for key, milliseconds, value in keys:
                        await own.redis.restore(key, milliseconds, value, replace=True)
                    shop = Shop(own)
                    vars(shop).update({**vars(model), "floor": own})
                    yield shop

        yield copy
