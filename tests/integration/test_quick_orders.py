"""Orders that are placed the quick way: with terms at the current quote, taking and giving back allowances; without
terms as before."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from domain.accounts import CreateAccount
from domain.checkouts import OpenCheckout
from domain.completion import CompleteCheckout
from domain.customers import SetCustomer
from domain.model import Actor, Personal, Price, Secret, Wanted
from domain.orders import CancelOrder, ConfirmOrder, ExpireOrder, PlaceOrder
from domain.quote.actions.amounts import Percent
from domain.quote.actions.gift import Gift
from domain.quote.places import Area
from domain.quote.rules.buyer import FirstOrder, Group
from domain.quote.terms.limits import DAY, PurchaseLimit, identities
from domain.quote.terms.prices import PriceList
from domain.quote.terms.promotions import Promotion
from domain.quote.terms.taxes import Taxes, TaxPolicy, TaxRate
from domain.sku_prices import PutPrices
from domain.terms import PRICE_LIST, PROMOTION, PURCHASE_LIMIT, TAXES, StateTerms, part_name
from tests.integration.drainers import drainer
from tests.integration.gates import gate_before
from tests.integration.patrolling import alarms, watching
from tests.integration.shopfloor import ANN, PRICE_MINOR, STAFF, Shopfloor, retries
from tests.integration.smallshop import Shop
from workers import loading
from workers.apply import Applier

_ID = UUID(int=7)
_USES = f"promotion:{_ID}"
_HALF = Percent(percent_bp=5_000)
_HALF_MINOR = PRICE_MINOR // 2
_VAT = StateTerms(TAXES, taxes=Taxes("GB", (TaxRate("VAT", Area("GB"), "standard", 2_000),), TaxPolicy(included=False)))


def _half(**limits: Any) -> StateTerms:
    return StateTerms(part_name(PROMOTION, _ID), promotion=Promotion(_ID, 0, "Half", _HALF, **limits))


def _most(most: int) -> StateTerms:
    return StateTerms(part_name(PURCHASE_LIMIT, _ID), purchase_limit=PurchaseLimit(_ID, most))


def _takes_back(stated: StateTerms) -> StateTerms:
    return StateTerms(stated.name)


async def _apply(floor: Shopfloor, *commands: Any, actor: Actor = STAFF) -> None:
    posted = await floor.post_all(commands, actor=actor)
    await floor.drain()
    assert await floor.statuses(posted) == ["applied"] * len(commands)


async def _totals(floor: Shopfloor, *orders: PlaceOrder) -> list[int | None]:
    """What the orders cost; None for those that were not placed."""
    rows = dict(await floor.pool.fetch("SELECT id, total_minor FROM orders"))
    return [rows.get(order.order_id) for order in orders]


async def _taken(floor: Shopfloor) -> dict[str, tuple[int, int]]:
    return {key: (posted, pending) for key, posted, pending in await floor.pool.fetch("SELECT * FROM allowances")}


async def test_it_is_placed_at_a_quote_that_its_log_and_its_tables_keep(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    await _apply(floor, _VAT, _half())
    order = floor.place(MUG=2)
    await _apply(floor, order, actor=ANN)
    assert await _totals(floor, order) == [120]
    told = await floor.pool.fetch("SELECT type FROM events ORDER BY seq DESC LIMIT 2")
    assert [row["type"] for row in told] == ["checkout.placed", "order.placed"]
    row = await floor.pool.fetchrow(
        "SELECT o.charges_minor, o.checkout_id, c.status, c.version, c.quote->>'total_minor' AS total_minor"
        " FROM orders o JOIN checkouts c ON c.order_id = o.id"
    )
    assert tuple(row) == (-80, order.order_id, "completed", 1, "120")
    await _apply(floor, ConfirmOrder(order.order_id), actor=ANN)  # it need not be paid here
    await floor.verified()


@pytest.mark.parametrize("ends", [CancelOrder, ExpireOrder])
async def test_a_cancelled_order_gives_back_its_use_of_the_promotion(
    floor: Shopfloor, ends: type[CancelOrder | ExpireOrder]
) -> None:
    await floor.fill(MUG=10)
    await _apply(floor, _half(uses_limit=1))
    first, second, third = [floor.place(number, MUG=1) for number in range(3)]
    await _apply(floor, first, actor=ANN)
    await _apply(floor, second, actor=ANN)
    await _apply(floor, ends(first.order_id))
    assert await _taken(floor) == {_USES: (1, 0)}
    await _apply(floor, third, actor=ANN)
    assert await _totals(floor, first, second, third) == [_HALF_MINOR, PRICE_MINOR, _HALF_MINOR]
    assert await _taken(floor) == {_USES: (1, 1)}
    await floor.verified()


async def test_ten_uses_are_used_ten_times_by_thirty_at_once(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    await _apply(floor, _half(uses_limit=10, budget_minor={"GBP": 450}))
    orders = [floor.place(number % 4, MUG=1) for number in range(30)]
    await floor.post_all(orders)
    await asyncio.gather(*(drainer(floor, 4).drain(range(4)) for _ in range(3)))
    await floor.drain()
    # The budget is for nine.
    assert Counter(await _totals(floor, *orders)) == {_HALF_MINOR: 9, PRICE_MINOR: 21}
    assert await _taken(floor) == {_USES: (10, 9), f"budget:{_ID}:GBP": (450, 450)}
    await floor.verified()


async def test_one_buyer_gets_no_more_however_they_order(floor: Shopfloor) -> None:
    """Quick orders, orders as a guest of the same mailbox and checkouts count together."""
    await floor.fill(MUG=100)
    await _apply(floor, _most(3))
    known_by = identities("ann", "ann@example.com", b"secret")
    keys = tuple(f"limit:{_ID}:forever:{one}" for one in known_by)
    mugs = (Wanted("MUG", 2),)
    first = PlaceOrder(floor.new_id(0), "ann", mugs, None, known_by)
    unknown = PlaceOrder(floor.new_id(1), "ann", mugs)
    tagged = "ann+1@example.com"
    mailbox = identities(None, None, b"secret", typed=tagged)
    guest = PlaceOrder(floor.new_id(2), "guest:1", mugs, Personal(tagged), mailbox)
    await _apply(floor, first, actor=ANN)
    cart = floor.new_id(3)
    await _apply(floor, OpenCheckout(cart, lines=mugs), actor=ANN)
    completion = CompleteCheckout(cart, floor.new_id(3), mugs, 200, allowances=keys, identities=known_by)
    posted = [
        await floor.post(unknown),
        await floor.post(guest, actor=Actor.in_role("guest:1", "guest")),
        await floor.post(completion),
        await floor.post(PlaceOrder(floor.new_id(0), "ann", (Wanted("MUG", 1),), None, known_by)),
    ]
    await floor.drain()
    assert await floor.statuses(posted) == ["rejected: checkout_incomplete"] * 3 + ["applied"]
    assert await _taken(floor) == dict.fromkeys(keys, (3, 3))
    await floor.verified()


async def test_terms_that_come_in_the_same_batch_count_from_there_on(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    stated = _half(uses_limit=1)
    mailbox = floor.mailbox_of(stated)
    orders = [floor.place(mailbox, MUG=1) for _ in range(4)]
    for command, actor in (
        (orders[0], ANN),
        (stated, STAFF),
        (orders[1], ANN),
        (orders[2], ANN),
        (_takes_back(stated), STAFF),
        (orders[3], ANN),
    ):
        await floor.post(command, actor=actor)
    await floor.drain()
    assert await _totals(floor, *orders) == [PRICE_MINOR, _HALF_MINOR, PRICE_MINOR, PRICE_MINOR]
    assert await _taken(floor) == {_USES: (1, 1)}
    assert await floor.dead_letters() == []
    await floor.verified()


@pytest.mark.parametrize("more", [0, 100])
async def test_terms_that_come_between_load_and_commit_count(floor: Shopfloor, more: int) -> None:
    """Decided without taxes just as they are stated: without the guard, it would be placed without them. `more` orders
    make it too large for a small batch."""
    await floor.fill(MUG=200)
    floor.batch_max_commands = 200
    mailbox = (floor.mailbox_of(_VAT) + 1) % floor.mailbox_count
    orders = [floor.place(mailbox, MUG=1) for _ in range(1 + more)]
    await floor.post_all(orders)
    await floor.post(_VAT, actor=STAFF)
    moved = retries("guard_moved", "log_moved")
    async with gate_before(floor.database_url, "event_counter", holds=1) as gate:
        selling = asyncio.create_task(floor.new_drainer().drain([mailbox]))
        await gate.wait_for(1)
        await floor.drain(floor.mailbox_of(_VAT))
        await gate.open()
        await selling
    assert set(await _totals(floor, *orders)) == {120}
    assert retries("guard_moved", "log_moved") > moved
    await floor.verified()


async def test_a_process_that_knows_other_terms_asks_for_what_these_need(floor: Shopfloor) -> None:
    """A worker decides on the terms of before when it asks what to load: then it asks again."""
    await floor.fill(MUG=50, TOY=50)
    one = drainer(floor)
    gift = Promotion(UUID(int=8), 0, "Toy", Gift("TOY", 1), uses_limit=1)
    stated = [
        _half(uses_limit=1),
        StateTerms(part_name(PROMOTION, UUID(int=8)), promotion=gift),
        _takes_back(_half()),
        StateTerms(part_name(PROMOTION, UUID(int=8))),
    ]
    lines = []
    for said in stated:
        await _apply(floor, said)
        order = floor.place(MUG=1)
        await floor.post(order)
        await one.drain(range(4))
        rows = await floor.pool.fetch("SELECT sku FROM order_lines WHERE order_id = $1 ORDER BY 1", order.order_id)
        lines.append(([row["sku"] for row in rows], (await _totals(floor, order))[0]))
    assert lines == [(["MUG"], 50), (["MUG", "TOY"], 100), (["MUG"], 100), (["MUG"], 100)]
    assert await _taken(floor) == {_USES: (1, 1), f"promotion:{UUID(int=8)}": (1, 1)}
    await floor.verified()


async def test_a_quick_order_uses_the_customer_s_groups_price_lists_and_first_order(floor: Shopfloor) -> None:
    """In their groups, by the lists for them, and as a first order only once."""
    await floor.fill(MUG=50)
    account_id = floor.new_id(1)
    created = CreateAccount(account_id, Personal("ada@example.com"), Personal("Ada"), "customer", Secret("x"))
    vip = frozenset(("vip",))
    welcome = Promotion(_ID, 0, "Welcome", _HALF, (FirstOrder(), Group(vip)))
    await _apply(
        floor,
        created,
        StateTerms(part_name(PRICE_LIST, _ID), price_list=PriceList(_ID, "Members", groups=vip)),
        StateTerms(part_name(PROMOTION, _ID), promotion=welcome),
    )
    await _apply(floor, PutPrices(floor.listing("MUG").product_id, "MUG", _ID, (Price("GBP", 80, _ID),)))
    ada = Actor.in_role(str(account_id), "customer")
    orders = [floor.place(number % 4, actor=ada, MUG=1) for number in range(3)]
    await _apply(floor, orders[0], actor=ada)
    await _apply(floor, CancelOrder(orders[0].order_id))
    await _apply(floor, SetCustomer(account_id, ("vip",)))
    await _apply(floor, orders[1], actor=ada)
    await _apply(floor, orders[2], actor=ada)
    assert await _totals(floor, *orders) == [PRICE_MINOR, 40, 80]
    await floor.verified()


async def test_a_sold_out_gift_is_short(floor: Shopfloor) -> None:
    await floor.fill(MUG=50, TOY=0)
    gift = Promotion(_ID, 0, "Toy", Gift("TOY", 1))
    await _apply(floor, StateTerms(part_name(PROMOTION, _ID), promotion=gift))
    posted = await floor.post(floor.place(MUG=1))
    await floor.drain()
    assert await floor.statuses([posted]) == ["rejected: insufficient_stock"]
    await floor.verified()


async def test_small_batches_are_placed_at_once_with_terms_and_without(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while the process does not know yet that they were stated, or taken back."""
    await floor.fill(MUG=50)
    await _apply(floor, _VAT)
    one = drainer(floor)
    orders = [floor.place(MUG=1) for _ in range(4)]
    at_once: list[bool] = []
    settle = Applier._at_once

    async def noted(self: Applier, part: Any) -> Any:
        done = await settle(self, part)
        at_once.append(done is not None)
        return done

    monkeypatch.setattr(Applier, "_at_once", noted)
    for order, said in zip(orders, (None, _takes_back(_VAT), None, None), strict=True):
        if said is not None:
            await _apply(floor, said)
            assert at_once.pop() is False, "a guard is moved under the counter"
        await floor.post(order)
        await one.drain(range(4))
    assert await _totals(floor, *orders) == [120, PRICE_MINOR, PRICE_MINOR, PRICE_MINOR]
    assert at_once == [True] * len(orders)
    await floor.verified()


async def test_a_day_that_begins_between_load_and_decision_is_not_the_order_s(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its allowances for today were loaded, so it counts for today."""
    await floor.fill(MUG=50)
    limit = PurchaseLimit(_ID, 3, window=DAY)
    await _apply(floor, StateTerms(part_name(PURCHASE_LIMIT, _ID), purchase_limit=limit))

    class LastMoment(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime(2026, 1, 1, 23, 59, 59, 999_999, tz)

    monkeypatch.setattr(loading, "datetime", LastMoment)
    await _apply(floor, floor.place(MUG=1), actor=ANN)
    assert await _taken(floor) == {f"limit:{_ID}:2026-01-01:customer:ann": (3, 1)}
    await floor.verified()


async def test_two_first_uses_at_once_state_the_limit_once(floor: Shopfloor) -> None:
    """Both find nothing counted yet: only one of them brings the limit with it."""
    await floor.fill(MUG=50)
    await _apply(floor, _half(uses_limit=10))
    orders = [floor.place(mailbox, MUG=1) for mailbox in range(2)]
    await floor.post_all(orders)
    async with gate_before(floor.database_url, "event_counter", holds=1) as gate:
        first = asyncio.create_task(floor.new_drainer().drain([0]))
        await gate.wait_for(1)
        await floor.drain(1)
        await gate.open()
        await first
    assert await _totals(floor, *orders) == [_HALF_MINOR] * 2
    assert await _taken(floor) == {_USES: (10, 2)}
    await floor.verified()


async def test_a_patrol_verifies_quick_orders_incrementally(floor: Shopfloor, caplog: pytest.LogCaptureFixture) -> None:
    await floor.fill(MUG=50)
    await _apply(floor, _VAT, _half(uses_limit=5))
    orders = [floor.place(number, MUG=1) for number in range(3)]
    async with watching(Shop(floor)) as watch:
        await _apply(floor, *orders[:2], actor=ANN)
        await watch.go()
        await _apply(floor, orders[2], actor=ANN)
        await _apply(floor, CancelOrder(orders[0].order_id))
        await watch.go()
        assert (alarms(caplog), await watch.open()) == ([], [])
        await watch.hand.execute("UPDATE checkouts SET version = 2 WHERE id = $1", orders[2].order_id)
        await watch.go()
        assert len(alarms(caplog)) == 1
