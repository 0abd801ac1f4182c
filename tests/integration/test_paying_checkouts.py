"""Checkouts that are completed and paid by one command: one order, one payment, whatever goes wrong in between."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from domain.addresses import Address
from domain.catalogue import ChangeVariant
from domain.checkouts import ChangeCheckout
from domain.payments.amounts import Amounts
from domain.payments.commands import CreatePayment
from domain.payments.payment import Capabilities
from domain.quote.actions.amounts import Percent
from domain.quote.places import Area
from domain.quote.terms.promotions import Promotion
from domain.quote.terms.taxes import Taxes, TaxPolicy, TaxRate
from domain.terms import PROMOTION, TAXES, StateTerms, part_name
from tests.integration.shopfloor import ANN
from tests.integration.till import Till

pytestmark = pytest.mark.usefixtures("both_ways")

_GIFT = Promotion(UUID(int=7), 0, "A gift", Percent(percent_bp=10_000))
_ADDRESS = Address("Ada Lovelace", "1 Harbour Street", "London", "GB")
_VAT = TaxRate("VAT", Area("GB"), "standard", 2_000)
_TAXES = Taxes("GB", rates=(_VAT,), policy=TaxPolicy(included=False))
_ALL_OFF = StateTerms(part_name(PROMOTION, _GIFT.id), promotion=_GIFT)


async def test_a_checkout_is_completed_and_paid_by_one_command(till: Till) -> None:
    command = till.completion(await till.checkout())
    assert command.payment is not None
    assert await till.applied(command, ANN) == "applied"
    assert await till.status(command.payment.payment_id) == "pending"
    assert await till.events(command.order_id) == ["order.placed"]
    await till.run()
    assert await till.amounts(command.payment.payment_id) == Amounts(charged=300)
    assert await till.floor.order_status(command.order_id) == "confirmed"
    assert await till.provider_s() == {"charge_success": 300}
    await till.verified()


async def test_two_tabs_that_complete_and_pay_one_checkout_make_one_order_and_one_payment(till: Till) -> None:
    checkout_id = await till.checkout()
    tabs = [till.completion(checkout_id) for _ in range(8)]
    assert await asyncio.gather(*(till.applied(tab, ANN) for tab in tabs)) == ["applied"] * 8
    await till.run()
    pool = till.tasks.pool
    assert [dict(row) for row in await pool.fetch("SELECT status, charged_minor FROM payments")] == [
        {"status": "charged", "charged_minor": 300}
    ]
    assert await pool.fetchval("SELECT count(*) FROM orders") == 1
    assert await till.provider_s() == {"charge_success": 300}
    await till.verified()


@pytest.mark.parametrize("mood", ["webhook_lost", "webhook_twice", "lose_answer+webhook_twice", "lose_answer"])
async def test_the_webhook_before_the_answer_after_it_or_instead_of_it_pays_once(till: Till, mood: str) -> None:
    command = till.completion(await till.checkout(), method=f"card+{mood}")
    assert command.payment is not None
    assert await till.applied(command, ANN) == "applied"
    await till.run()
    if "twice" in mood:
        for received in await till.shop.has(2):
            assert await till.hears(received) == "applied"
        assert await till.floor.order_status(command.order_id) == "confirmed"
    await till.tasks.make_due()
    await till.run()
    assert await till.amounts(command.payment.payment_id) == Amounts(charged=300)
    assert (await till.events(command.order_id)).count("order.confirmed") == 1
    await till.verified()


async def test_after_a_decline_another_card_pays_for_the_pieces_that_are_still_held(till: Till) -> None:
    command = till.completion(await till.checkout(), method="card+decline")
    assert command.payment is not None
    assert await till.applied(command, ANN) == "applied"
    await till.run()
    assert await till.status(command.payment.payment_id) == "failed"
    assert await till.floor.stock("MUG") == (50, 3)
    paid = await till.paid(command.order_id)
    assert (await till.status(paid), await till.floor.order_status(command.order_id)) == ("charged", "confirmed")
    assert await till.floor.stock("MUG") == (47, 0)
    await till.verified()


async def _another_price(till: Till) -> ChangeVariant:
    product_id = await till.tasks.pool.fetchval("SELECT product_id FROM variants WHERE sku = 'MUG'")
    return ChangeVariant(UUID(int=product_id.int), "MUG", {"price_minor": 101})


@pytest.mark.parametrize("what", ["price", "tax", "promotion", "lines"])
async def test_what_changes_between_quote_and_completion_is_neither_ordered_nor_charged(till: Till, what: str) -> None:
    checkout_id = await till.checkout(address=_ADDRESS.sealed())
    changes = {
        "price": await _another_price(till),
        "tax": StateTerms(TAXES, _TAXES),
        "promotion": _ALL_OFF,
        "lines": ChangeCheckout(checkout_id, lines=()),
    }
    assert await till.applied(changes[what]) == "applied"
    assert await till.applied(till.completion(checkout_id), ANN) == "rejected: checkout_changed"
    assert await till.run() == 0
    assert await till.tasks.pool.fetchval("SELECT count(*) FROM orders") == 0
    assert await till.provider_s() == {}
    await till.verified()


async def test_what_costs_nothing_is_confirmed_without_a_payment(till: Till) -> None:
    checkout_id = await till.checkout()
    await till.applied(_ALL_OFF)
    command = till.completion(checkout_id, total_minor=0)
    assert await till.applied(command, ANN) == "applied"
    assert await till.events(command.order_id) == ["order.placed", "order.confirmed"]
    assert await till.floor.order_status(command.order_id) == "confirmed"
    assert await till.floor.stock("MUG") == (47, 0)
    assert await till.run() == 0
    assert await till.tasks.pool.fetchval("SELECT count(*) FROM payments") == 0
    await till.verified()


async def test_a_payment_that_its_provider_cannot_take_places_no_order(till: Till) -> None:
    command = till.completion(await till.checkout())
    at_once = Capabilities(manual_capture=False)
    assert command.payment is not None
    wanted = CreatePayment(command.order_id, command.payment.payment_id, "sandbox", at_once, "manual", "card")
    refused = type(command)(command.checkout_id, command.order_id, command.lines, 300, payment=wanted)
    assert await till.applied(refused, ANN) == "rejected: manual_capture_unsupported"
    assert await till.applied(command, ANN) == "applied"
    await till.run()
    await till.verified()
