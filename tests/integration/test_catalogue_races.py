"""The catalogue changes while orders are placed: none is placed at a price that the log has already changed, nor for
products no longer on sale, and what must be unique stays unique."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from domain.catalogue import (
    ARCHIVED,
    ChangeProduct,
    CreateProduct,
    Product,
    ProductFields,
    SetVariant,
    Variant,
    VariantFields,
)
from domain.categories import CategoryFields, ChangeCategory, CreateCategory
from domain.erasure import EraseOrderAddress
from domain.model import Actor, Command, Personal, Wanted
from domain.orders import ConfirmOrder, PlaceOrder
from ops.articles import Article, listing
from runtime import entities
from tests.integration.gates import gate_before
from tests.integration.shopfloor import PRICE_MINOR, STAFF, Shopfloor, retries
from workers import batch
from workers.result import Result
from workers.stale import StaleRead

pytestmark = pytest.mark.usefixtures("both_ways")

MUG = listing(Article("MUG", "Mug", PRICE_MINOR, "GBP")).product_id
NEW_PRICE_MINOR = PRICE_MINOR + 11


def new_price() -> SetVariant:
    return SetVariant(MUG, VariantFields("MUG", NEW_PRICE_MINOR, "GBP"))


def elsewhere(floor: Shopfloor) -> int:
    """A mailbox other than the product's, so that both can be drained at once."""
    return (floor.mailbox_of(new_price()) + 1) % floor.mailbox_count


async def paid(floor: Shopfloor, order_id: UUID) -> tuple[int, int] | None:
    """The order's total and the price in its line, if it was placed."""
    row = await floor.pool.fetchrow(
        "SELECT total_minor, unit_price_minor FROM orders JOIN order_lines ON order_id = id WHERE id = $1", order_id
    )
    return None if row is None else tuple(row)


async def test_a_price_changed_between_load_and_commit_is_the_one_paid(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    order = floor.place(elsewhere(floor), MUG=2)
    posted = [await floor.post(order), await floor.post(new_price(), actor=STAFF)]
    moved = retries("guard_moved", "log_moved")
    async with gate_before(floor.database_url, "event_counter", holds=1) as gate:
        selling = asyncio.create_task(floor.new_drainer().drain([elsewhere(floor)]))
        await gate.wait_for(1)  # decided at the old price
        await floor.drain(floor.mailbox_of(new_price()))
        await gate.open()
        await selling
    assert await floor.statuses(posted) == ["applied"] * 2
    assert await paid(floor, order.order_id) == (2 * NEW_PRICE_MINOR, NEW_PRICE_MINOR)
    assert retries("guard_moved", "log_moved") == moved + 1
    await floor.verified()


async def test_a_price_being_committed_while_an_order_is_decided_is_the_one_paid(
    floor: Shopfloor,
) -> None:
    await floor.fill(MUG=10)
    order = floor.place(elsewhere(floor), MUG=2)
    await floor.post(new_price(), actor=STAFF)
    await floor.post(order)
    async with gate_before(floor.database_url, "commands", holds=1) as gate:
        # The new price has its place in the log but is not committed: no other transaction can see it yet.
        pricing = asyncio.create_task(floor.new_drainer().drain([floor.mailbox_of(new_price())]))
        await gate.wait_for(1)
        selling = asyncio.create_task(floor.new_drainer().drain([elsewhere(floor)]))
        await gate.wait_for_blocked(2)
        await gate.open()
        await asyncio.gather(pricing, selling)
    assert await paid(floor, order.order_id) == (2 * NEW_PRICE_MINOR, NEW_PRICE_MINOR)
    await floor.verified()


async def test_an_order_whose_place_in_the_log_is_before_the_change_keeps_its_price(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    order = floor.place(elsewhere(floor), MUG=2)
    await floor.post(order)
    await floor.post(new_price(), actor=STAFF)
    async with gate_before(floor.database_url, "commands", holds=1) as gate:
        selling = asyncio.create_task(floor.new_drainer().drain([elsewhere(floor)]))
        await gate.wait_for(1)
        pricing = asyncio.create_task(floor.new_drainer().drain([floor.mailbox_of(new_price())]))
        await gate.wait_for_blocked(2)
        await gate.open()
        await asyncio.gather(pricing, selling)
    assert await paid(floor, order.order_id) == (2 * PRICE_MINOR, PRICE_MINOR)
    await floor.verified()


@pytest.mark.parametrize(
    "stop",
    [
        ChangeProduct(MUG, {"status": ARCHIVED}),
        SetVariant(MUG, VariantFields("MUG", PRICE_MINOR, "GBP", active=False)),
    ],
    ids=["archived", "inactive"],
)
async def test_a_product_taken_off_sale_between_load_and_commit_is_not_sold(floor: Shopfloor, stop: Command) -> None:
    await floor.fill(MUG=10)
    order = floor.place(elsewhere(floor), MUG=2)
    posted = [await floor.post(order), await floor.post(stop, actor=STAFF)]
    async with gate_before(floor.database_url, "event_counter", holds=1) as gate:
        selling = asyncio.create_task(floor.new_drainer().drain([elsewhere(floor)]))
        await gate.wait_for(1)
        await floor.drain(floor.mailbox_of(stop))
        await gate.open()
        await selling
    assert await floor.statuses(posted) == ["rejected: not_on_sale", "applied"]
    assert await paid(floor, order.order_id) is None
    assert await floor.stock("MUG") == (10, 0)
    await floor.verified()


async def test_a_change_of_no_price_causes_no_retry(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    await floor.post(floor.place(elsewhere(floor), MUG=2))
    await floor.post(ChangeProduct(MUG, {"name": "A better name"}), actor=STAFF)
    moved = retries("guard_moved")
    async with gate_before(floor.database_url, "event_counter", holds=1) as gate:
        selling = asyncio.create_task(floor.new_drainer().drain([elsewhere(floor)]))
        await gate.wait_for(1)
        await floor.drain(floor.mailbox_of(new_price()))
        await gate.open()
        await selling
    assert retries("guard_moved") == moved
    await floor.verified()


@pytest.mark.parametrize("what", ["slug", "sku"])
async def test_of_two_mailboxes_that_create_the_same_thing_one_is_refused(floor: Shopfloor, what: str) -> None:
    """Each has decided that it does not exist before the other writes."""
    ids = [floor.new_id(mailbox) for mailbox in (0, 1)]
    posted = [
        await floor.post(
            CreateProduct(
                product_id,
                ProductFields("same" if what == "slug" else f"product-{number}", "The same"),
                (VariantFields("SAME" if what == "sku" else f"SKU-{number}", 100 + number, "GBP"),),
            ),
            actor=STAFF,
        )
        for number, product_id in enumerate(ids)
    ]
    async with gate_before(floor.database_url, "products") as gate:
        drains = [asyncio.create_task(floor.new_drainer().drain([mailbox])) for mailbox in (0, 1)]
        await gate.wait_for(2)
        await gate.open()
        await asyncio.gather(*drains)
    assert sorted(await floor.statuses(posted)) == ["applied", f"rejected: {what}_taken"]
    async with floor.pool.acquire() as connection:
        products = await entities.load(connection, entities.table_of(Product), None, ())
        variants = await entities.load(connection, entities.table_of(Variant), None, ())
    assert len(products) == len(variants) == 1
    assert [variant.product_id for variant in variants if isinstance(variant, Variant)] == [
        product.id for product in products if isinstance(product, Product)
    ]
    await floor.verified()


@pytest.mark.usefixtures("nothing_at_once")
async def test_the_holder_of_the_log_does_not_wait_for_a_batch_that_waits_for_it(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch whose optimistic check failed takes the counter first; one that changes a category takes it last. They
    would deadlock: the one that holds up all others gives way at once."""
    category_id = floor.new_id()
    await floor.post(CreateCategory(category_id, CategoryFields("kitchen", "Kitchen")), actor=STAFF)
    await floor.drain()
    change = ChangeCategory(category_id, {"name": "The kitchen"})
    mailbox = (floor.mailbox_of(change) + 1) % floor.mailbox_count
    product = CreateProduct(floor.new_id(mailbox), ProductFields("jug", "Jug", category_id=category_id))
    await _gives_way(floor, monkeypatch, change, product, STAFF)


@pytest.mark.usefixtures("nothing_at_once")
async def test_the_holder_of_the_log_does_not_wait_for_another_order_of_a_guest_whom_it_erases(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = Actor.in_role("guest:1", "guest")
    await floor.fill(MUG=10)
    email = Personal("guest@example.com")
    orders = [PlaceOrder(floor.new_id(mailbox), guest.principal, (Wanted("MUG", 1),), email) for mailbox in (0, 1)]
    await floor.post_all(orders, actor=guest)
    await floor.drain()
    confirm, erase = ConfirmOrder(orders[0].order_id), EraseOrderAddress(orders[1].order_id)
    await _gives_way(floor, monkeypatch, confirm, erase, guest)


async def _gives_way(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch, waits: Command, holds: Command, actor: Actor
) -> None:
    """The batch of one command has written and waits for the counter; the other's holds it, and wants what is written:
    it gives way, and both are applied."""
    posted = [await floor.post(command, actor=actor) for command in (waits, holds)]
    gave_way = retries("gave_way")
    async with gate_before(floor.database_url, "event_counter", holds=1) as gate:
        waiting = asyncio.create_task(floor.new_drainer().drain([floor.mailbox_of(waits)]))
        await gate.wait_for(1)  # it is written, the counter is not held
        apply, spoiled = batch.apply, False

        async def with_one_wrong_guess(*arguments: Any, **options: Any) -> Result:
            nonlocal spoiled
            if not spoiled:
                spoiled = True
                raise StaleRead("balance_moved")
            return await apply(*arguments, **options)

        monkeypatch.setattr(batch, "apply", with_one_wrong_guess)
        holding = asyncio.create_task(floor.new_drainer().drain([floor.mailbox_of(holds)]))
        await gate.wait_for_blocked(2)  # the counter was held, and what is written is wanted
        await gate.open()
        await asyncio.gather(waiting, holding)
    assert await floor.statuses(posted) == ["applied"] * 2
    assert retries("gave_way") == gave_way + 1
    await floor.verified()
