"""Prices of price lists and in other currencies: a checkout is completed at those that stand before it in the log."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from domain.catalogue import SetVariant, VariantFields
from domain.checkouts import OpenCheckout
from domain.completion import CompleteCheckout
from domain.limits import SKU_MAX_PRICES
from domain.model import Command, Price, Wanted
from domain.quote.terms.prices import PriceList
from domain.sku_prices import PutPrices
from domain.terms import PRICE_LIST, StateTerms, part_name
from tests.integration.gates import gate_before
from tests.integration.patrolling import alarms, watching
from tests.integration.shopfloor import PRICE_MINOR, STAFF, Shopfloor, retries
from tests.integration.smallshop import Shop

_SALE = UUID(int=7)
_OTHER = UUID(int=8)
_MUG = Shopfloor.listing("MUG").product_id


def _put(*prices: Price, price_list_id: UUID | None = _SALE, adds: bool = False) -> PutPrices:
    return PutPrices(_MUG, "MUG", price_list_id, prices, adds)


def _sale_at(price_minor: int, currency: str = "GBP", min_quantity: int = 1) -> Price:
    return Price(currency, price_minor, _SALE, min_quantity)


async def _sale(floor: Shopfloor, *prices: Price) -> None:
    """A shop with mugs, and a sale in which they are for these prices."""
    await floor.fill(MUG=50)
    listed = StateTerms(part_name(PRICE_LIST, _SALE), price_list=PriceList(_SALE, "Sale"))
    await floor.post(listed, actor=STAFF)
    await floor.drain()
    posted = await floor.post(_put(*prices), actor=STAFF)
    await floor.drain()
    assert await floor.statuses([posted]) == ["applied"]


def _elsewhere(floor: Shopfloor) -> int:
    """A mailbox other than the product's."""
    return (floor.mailbox_of(_put()) + 1) % floor.mailbox_count


async def _opened(floor: Shopfloor, total_minor: int, *, quantity: int = 1, currency: str | None = None) -> Command:
    """The command that completes a checkout of some mugs, which is open."""
    checkout_id, lines = floor.new_id(_elsewhere(floor)), (Wanted("MUG", quantity),)
    await floor.post(OpenCheckout(checkout_id, currency, lines=lines))
    await floor.drain()
    return CompleteCheckout(checkout_id, floor.new_id(_elsewhere(floor)), lines, total_minor)


async def _completion(floor: Shopfloor, total_minor: int, *, quantity: int = 1, currency: str | None = None) -> UUID:
    return await floor.post(await _opened(floor, total_minor, quantity=quantity, currency=currency))


async def test_a_line_pays_by_the_list_that_is_for_its_quantity_and_currency(floor: Shopfloor) -> None:
    await _sale(floor, _sale_at(80), _sale_at(70, min_quantity=10), _sale_at(95, "EUR"))
    posted = [
        await _completion(floor, 80),
        await _completion(floor, 700, quantity=10),
        await _completion(floor, 95, currency="EUR"),
        await _completion(floor, 95, currency="JPY"),
    ]
    await floor.drain()
    assert await floor.statuses(posted) == ["applied"] * 3 + ["rejected: checkout_incomplete"]
    await floor.verified()


async def test_a_sku_has_prices_of_its_own_in_other_currencies(floor: Shopfloor) -> None:
    await floor.fill(MUG=50)
    put = await floor.post(_put(Price("EUR", 120), price_list_id=None), actor=STAFF)
    await floor.drain()
    posted = await _completion(floor, 120, currency="EUR")
    await floor.drain()
    assert await floor.statuses([put, posted]) == ["applied"] * 2
    await floor.verified()


async def test_a_patrol_knows_the_prices_that_were_folded_before(
    floor: Shopfloor, caplog: pytest.LogCaptureFixture
) -> None:
    await _sale(floor, _sale_at(80))
    put = await floor.post(_put(Price("EUR", 120), price_list_id=None), actor=STAFF)
    await floor.drain()
    async with watching(Shop(floor)) as watch:
        await watch.go()
        posted = [await _completion(floor, 80), await _completion(floor, 120, currency="EUR")]
        await floor.drain()
        await watch.go()
        assert await floor.statuses([put, *posted]) == ["applied"] * 3
        assert (alarms(caplog), await watch.open()) == ([], [])


@pytest.mark.usefixtures("nothing_at_once")
async def test_a_listed_price_changed_between_load_and_commit_is_told(floor: Shopfloor) -> None:
    """The completion has been decided at 80 when the price becomes 81: without its guard, it would be sold at 80."""
    await _sale(floor, _sale_at(80))
    posted = [await _completion(floor, 80), await floor.post(_put(_sale_at(81)), actor=STAFF)]
    moved = retries("guard_moved")
    async with gate_before(floor.database_url, "event_counter", holds=1) as gate:
        selling = asyncio.create_task(floor.new_drainer().drain([_elsewhere(floor)]))
        await gate.wait_for(1)
        await floor.drain(floor.mailbox_of(_put()))
        await gate.open()
        await selling
    assert await floor.statuses(posted) == ["rejected: checkout_changed", "applied"]
    assert retries("guard_moved") == moved + 1
    await floor.verified()


@pytest.mark.usefixtures("nothing_at_once")
async def test_the_first_listed_price_of_a_sku_is_seen_as_well(floor: Shopfloor) -> None:
    await _sale(floor)
    posted = [await _completion(floor, PRICE_MINOR), await floor.post(_put(_sale_at(81)), actor=STAFF)]
    async with gate_before(floor.database_url, "event_counter", holds=1) as gate:
        selling = asyncio.create_task(floor.new_drainer().drain([_elsewhere(floor)]))
        await gate.wait_for(1)
        await floor.drain(floor.mailbox_of(_put()))
        await gate.open()
        await selling
    assert await floor.statuses(posted) == ["rejected: checkout_changed", "applied"]
    await floor.verified()


async def test_what_changes_in_the_batch_of_the_order_is_seen_by_it(floor: Shopfloor) -> None:
    """One batch takes from several mailboxes: each decision builds on the ones before it."""
    await _sale(floor, _sale_at(80))
    for change, total_minor in (
        (_put(_sale_at(81)), 81),
        (SetVariant(_MUG, VariantFields("MUG", PRICE_MINOR, "GBP", title="Large")), 81),
    ):
        completion = await _opened(floor, total_minor)
        posted = [await floor.post(change, actor=STAFF), await floor.post(completion)]
        await floor.drain()
        assert await floor.statuses(posted) == ["applied"] * 2
    await floor.verified()


async def test_what_is_put_replaces_what_the_list_said_unless_it_adds(floor: Shopfloor) -> None:
    await _sale(floor, _sale_at(80), _sale_at(95, "EUR"))
    own = _put(Price("EUR", 120), price_list_id=None)
    posted = await floor.post_all(
        [own, own, _put(_sale_at(81), adds=True), _put(_sale_at(82, "USD")), _put()], actor=STAFF
    )
    await floor.drain()
    assert await floor.statuses(posted) == ["applied"] * 5
    told = await floor.pool.fetch(
        "SELECT type, json_array_length(data->'prices') FROM events WHERE type LIKE 'price.%' ORDER BY seq"
    )
    assert [tuple(row) for row in told] == [
        ("price.put", 2),
        ("price.put", 1),
        ("price.unchanged", None),
        ("price.put", 2),
        ("price.put", 1),
        ("price.put", 0),
    ]
    assert await floor.pool.fetchval("SELECT jsonb_array_length(prices) FROM sku_prices") == 1
    await floor.verified()


async def test_prices_are_of_what_exists_and_bounded(floor: Shopfloor) -> None:
    await _sale(floor, *(_sale_at(80, min_quantity=one + 1) for one in range(SKU_MAX_PRICES)))
    unlisted = PutPrices(_MUG, "MUG", _OTHER, (Price("GBP", 1, _OTHER),))
    posted = await floor.post_all(
        [
            _put(Price("EUR", 120), price_list_id=None),
            unlisted,
            PutPrices(_MUG, "MUG", _OTHER, ()),
            PutPrices(_OTHER, "MUG", None, ()),
            PutPrices(_MUG, "CUP", None, ()),
        ],
        actor=STAFF,
    )
    await floor.drain()
    assert await floor.statuses(posted) == [
        "rejected: too_many_prices",
        "rejected: price_list_not_found",
        "applied",
        "rejected: variant_not_found",
        "rejected: variant_not_found",
    ]
    await floor.verified()
