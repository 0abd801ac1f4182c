"""Payments with a long story: whatever was told before, the money is heard of."""

from __future__ import annotations

from datetime import UTC, datetime

from domain.limits import PAYMENT_MAX_ENTRIES
from domain.payments.amounts import Amounts
from domain.payments.commands import ReportPayment
from domain.payments.entries import INFO, Entry
from tests.integration.till import PROVIDER, Till


async def test_a_buyer_who_is_declined_again_and_again_pays_in_the_end(till: Till) -> None:
    """Nothing of it is heard until the provider is asked, and then all of it."""
    order = await till.order()
    payment_id = await till.pays(order.order_id, method=None)
    await till.run()
    await till.sandbox.control(shares={"webhook_lost": 1.0})
    page = f"{till.sandbox.url}/pay/{(await till.row(payment_id))['provider_reference']}"
    for choice in (*("decline",) * PAYMENT_MAX_ENTRIES, "pay"):
        async with till.sandbox.session.post(page, data={"choice": choice}, allow_redirects=False) as response:
            assert response.status == 303
    await till.tasks.make_due()
    await till.run()
    assert await till.amounts(payment_id) == Amounts(charged=300)
    assert await till.floor.order_status(order.order_id) == "confirmed"
    assert await till.tasks.task(f"ask:{payment_id}") is None
    await till.verified()


async def test_money_is_heard_of_after_any_amount_of_information(till: Till) -> None:
    order = await till.order()
    payment_id = await till.pays(order.order_id, method=None)
    await till.run()
    at = datetime.now(UTC)
    for number in range(PAYMENT_MAX_ENTRIES // 100):
        noise = tuple(Entry(INFO, f"{number}:{place}", 300, at) for place in range(100))
        report = ReportPayment(order.order_id, payment_id, "GBP", noise)
        assert await till.applied(report, PROVIDER) == "applied"
    page = f"{till.sandbox.url}/pay/{(await till.row(payment_id))['provider_reference']}"
    async with till.sandbox.session.post(page, data={"choice": "pay"}, allow_redirects=False) as response:
        assert response.status == 303
    (received,) = await till.shop.has(1)
    assert await till.hears(received) == "applied"
    assert await till.amounts(payment_id) == Amounts(charged=300)
    assert await till.floor.order_status(order.order_id) == "confirmed"
    await till.verified()
