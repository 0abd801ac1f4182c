"""A shop with any number of orders, of real baskets, placed as fast as the batches' own code can."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import cycle, islice
from typing import Final

from domain.model import Command
from domain.orders import CancelOrder, ConfirmOrder, ExpireOrder, FulfilOrder, PlaceOrder
from loadtests import baskets
from ops.articles import listing
from runtime.mailboxes.inbox import Entry
from tests.integration.shopfloor import STAFF, Shopfloor
from workers.batch import apply
from workers.earlier import Earlier
from workers.messages import Message

_BATCH_COMMANDS: Final = 512
_PIECES: Final = 100_000_000


async def open_big_shop(floor: Shopfloor, orders: int) -> None:
    """Puts the real goods on sale and places this many orders, of each basket in turn. Of ten orders, two stay as they
    are, and the others are confirmed, fulfilled, cancelled or expired."""
    invoices = await asyncio.to_thread(baskets.shipped)
    await _apply(floor, (listing(article, _PIECES) for article in invoices.products))
    await _apply(floor, _orders(floor, islice(cycle(invoices.baskets), orders)))
    await floor.pool.execute("ANALYZE")


def _orders(floor: Shopfloor, wanted: Iterable[baskets.Basket]) -> Iterator[Command]:
    for number, basket in enumerate(wanted):
        order_id = floor.new_id(number % floor.mailbox_count)
        yield PlaceOrder(order_id, basket.customer_id, basket.lines)
        match number % 10:
            case 0 | 1:
                pass
            case 2:
                yield CancelOrder(order_id)
            case 3:
                yield ExpireOrder(order_id)
            case 4:
                yield from (ConfirmOrder(order_id), CancelOrder(order_id))
            case _:
                yield from (ConfirmOrder(order_id), FulfilOrder(order_id))


async def _apply(floor: Shopfloor, commands: Iterable[Command]) -> None:
    numbered = iter(enumerate(commands, start=1))
    while some := [*islice(numbered, _BATCH_COMMANDS)]:
        messages = [
            Message(0, Entry(f"{n}-0", {}), floor.envelope(command, actor=STAFF), command) for n, command in some
        ]
        async with floor.pool.acquire() as connection, connection.transaction():
            result = await apply(connection, messages, Earlier(), alone=True)
        assert {row.status for row in result.applied} == {"applied"}
