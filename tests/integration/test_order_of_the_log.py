"""Everything that promises an order follows the log: listings, cursors and moments, even if the first accepted is
committed last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.accounts import CreateAccount
from domain.catalogue import ChangeProduct, CreateProduct, ProductFields, VariantFields
from domain.model import Command, Personal, Secret
from domain.orders import CancelOrder
from gateway.views import accounts as account_views
from gateway.views import exports
from gateway.views import orders as order_views
from runtime.engine import create_engine
from tests.integration.gates import gate_before
from tests.integration.shopfloor import STAFF, Shopfloor

_PAGE = 2


@asynccontextmanager
async def overtaken(floor: Shopfloor, table: str, first: Command, second: Command) -> AsyncIterator[None]:
    """`first` is accepted and decided before `second`, and committed after it; within the block only `second`
    exists."""
    async with gate_before(floor.database_url, table, holds=1) as gate:
        held = asyncio.create_task(_drained(floor, first))
        await gate.wait_for(1)
        await _drained(floor, second)
        yield
        await gate.open()
        await held


async def _drained(floor: Shopfloor, command: Command) -> None:
    await floor.post(command, actor=STAFF)
    await floor.new_drainer().drain([floor.mailbox_of(command)])


@asynccontextmanager
async def _view(floor: Shopfloor) -> AsyncIterator[AsyncConnection]:
    engine = create_engine(floor.database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


Newest = Callable[[AsyncConnection, "str | None"], Awaitable[tuple[list[UUID], "str | None"]]]


async def _orders(connection: AsyncConnection, cursor: str | None) -> tuple[list[UUID], str | None]:
    page = await order_views.newest(connection, STAFF, order_views.Wanted(), cursor, _PAGE)
    return [order.id for order in page.items], page.next_cursor


async def _accounts(connection: AsyncConnection, cursor: str | None) -> tuple[list[UUID], str | None]:
    page = await account_views.newest(connection, cursor, _PAGE, email=None, role=None)
    return [account.id for account in page.items], page.next_cursor


async def _all(floor: Shopfloor, newest: Newest) -> list[UUID]:
    """Every page, in turn."""
    found: list[UUID] = []
    async with _view(floor) as connection:
        page, cursor = await newest(connection, None)
        found += page
        while cursor is not None:
            page, cursor = await newest(connection, cursor)
            found += page
    return found


async def test_an_order_placed_later_is_listed_before_those_accepted_later(floor: Shopfloor) -> None:
    """A client that reads up to a known order finds it: its id alone would have put it after that one."""
    await floor.fill(MUG=100)
    earlier = [floor.place(number % 4, MUG=1) for number in range(3)]
    for order in earlier:
        await _drained(floor, order)
    first, second = floor.place(0, MUG=1), floor.place(1, MUG=1)
    assert first.order_id < second.order_id
    async with overtaken(floor, "event_counter", first, second):
        known = (await _all(floor, _orders))[0]
        assert known == second.order_id
    listed = await _all(floor, _orders)
    assert listed == [order.order_id for order in (first, second, *reversed(earlier))]
    assert listed[: listed.index(known)] == [first.order_id]
    await floor.verified()


async def test_an_export_is_in_the_order_of_placing(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    first, second = floor.place(0, MUG=1), floor.place(1, MUG=1)
    async with overtaken(floor, "event_counter", first, second):
        pass
    async with _view(floor) as connection:
        rows = (await connection.execute(exports.order_lines_between(None, None, None).query)).all()
    assert [row[0] for row in rows] == [second.order_id, first.order_id]


def _account(floor: Shopfloor, mailbox: int) -> CreateAccount:
    account_id = floor.new_id(mailbox)
    return CreateAccount(
        account_id, Personal(f"{account_id}@shop.example"), Personal("Ann"), "customer", Secret("hash")
    )


@pytest.mark.usefixtures("nothing_at_once")
async def test_accounts_and_other_things_are_listed_in_the_order_of_the_log_too(floor: Shopfloor) -> None:
    first, second = _account(floor, 0), _account(floor, 1)
    async with overtaken(floor, "accounts", first, second):
        assert await _all(floor, _accounts) == [second.account_id]
    assert await _all(floor, _accounts) == [first.account_id, second.account_id]
    await floor.verified()


def _product(floor: Shopfloor, mailbox: int) -> CreateProduct:
    product_id = floor.new_id(mailbox)
    return CreateProduct(
        product_id, ProductFields(f"p-{product_id}", "A mug"), (VariantFields(f"SKU-{mailbox}", 1, "GBP"),)
    )


@pytest.mark.parametrize("what", ["orders", "a cancellation", "products", "a change"])
async def test_moments_never_run_backwards_along_the_log(floor: Shopfloor, what: str) -> None:
    """The first is decided first and committed last: the moments in its rows are those in the log."""
    await floor.fill(MUG=100)
    first: Command
    second: Command
    table = "event_counter"
    if what == "orders":
        first, second = floor.place(0, MUG=1), floor.place(1, MUG=1)
    elif what == "a cancellation":
        placed = floor.place(0, MUG=1)
        await _drained(floor, placed)
        # The batch must reach the gate: an order is placed as well.
        await floor.post(CancelOrder(placed.order_id), actor=STAFF)
        first, second = floor.place(0, MUG=1), floor.place(1, MUG=1)
    elif what == "products":
        first, second, table = _product(floor, 0), _product(floor, 1), "products"
    else:
        product = _product(floor, 0)
        await _drained(floor, product)
        first, second = ChangeProduct(product.product_id, {"name": "Another"}), _product(floor, 1)
        table = "products"
    async with overtaken(floor, table, first, second):
        pass
    moments = [row["occurred_at"] for row in await floor.pool.fetch("SELECT occurred_at FROM events ORDER BY seq")]
    assert moments == sorted(moments)
    await floor.verified()


async def test_each_batch_has_its_own_moment(floor: Shopfloor) -> None:
    """Even when the clock stands still: what is listed by moments is listed in the order of the log."""
    await floor.fill(MUG=100)
    await floor.pool.execute("UPDATE event_counter SET last_at = 'epoch'::timestamptz + interval '100 years'")
    for number in range(3):
        await _drained(floor, floor.place(number, MUG=1))
    rows = await floor.pool.fetch("SELECT occurred_at FROM events ORDER BY seq DESC LIMIT 3")
    newest, middle, oldest = (row["occurred_at"] for row in rows)
    assert oldest.year == 2070
    assert newest - middle == middle - oldest == timedelta(microseconds=1)
    await floor.verified()
