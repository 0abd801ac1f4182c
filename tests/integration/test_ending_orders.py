"""Orders that end while a payment is under way: nobody pays for pieces that are no longer held, and money that arrives
nevertheless goes back, or is listed for staff."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import aiohttp
import pytest

from domain.orders import CancelOrder, ExpireOrder
from domain.payments.amounts import Amounts
from domain.payments.commands import CreatePayment, RefundPayment, ReportPayment
from domain.payments.entries import Entry
from gateway.views import payments as views
from runtime.engine import create_engine
from runtime.payments.invoice import Invoice
from tests.integration.shopfloor import ANN, STAFF
from tests.integration.till import PROVIDER, Till


async def _orphans(till: Till) -> list[UUID]:
    engine = create_engine(till.floor.database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            page = await views.newest(connection, None, None, 10, orphaned=True)
    finally:
        await engine.dispose()
    return [payment.id for payment in page.items]


async def _page(till: Till, payment_id: UUID) -> str:
    """Where the provider has sent the buyer."""
    url = (await till.row(payment_id))["action_url"]
    assert isinstance(url, str)
    return url


async def _pays_on(page: str) -> None:
    """The buyer pays there, if that is still possible."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(page, data={"choice": "pay"}, allow_redirects=False) as response,
    ):
        assert response.status < 500


@pytest.mark.parametrize("ends", [CancelOrder, ExpireOrder])
async def test_an_attempt_that_waits_for_its_buyer_ends_with_its_order(
    till: Till, ends: type[CancelOrder | ExpireOrder]
) -> None:
    order = await till.order()
    payment_id = await till.pays(order.order_id, method=None)
    await till.run()
    assert await till.status(payment_id) == "action_required"
    page = await _page(till, payment_id)
    assert await till.applied(ends(order.order_id), STAFF) == "applied"
    await till.run()
    assert await till.amounts(payment_id) == Amounts()
    await _pays_on(page)
    assert (await till.provider_s())["charge_success"] == 0
    await till.verified()


async def test_authorized_money_of_an_order_that_is_cancelled_after_it_was_confirmed_is_let_go(till: Till) -> None:
    order = await till.order()
    payment_id = await till.paid(order.order_id, capture="manual")
    assert await till.floor.order_status(order.order_id) == "confirmed"
    assert await till.applied(CancelOrder(order.order_id), STAFF) == "applied"
    await till.run()
    assert await till.amounts(payment_id) == Amounts(authorized=300, cancelled=300)
    assert await _orphans(till) == []
    await till.verified()


async def test_authorized_money_that_its_provider_does_not_let_go_is_listed(till: Till) -> None:
    order = await till.order()
    payment_id = await till.paid(order.order_id, "card+fail", capture="manual")
    assert await till.applied(CancelOrder(order.order_id), STAFF) == "applied"
    await till.run()
    assert await till.amounts(payment_id) == Amounts(authorized=300)
    assert await _orphans(till) == [payment_id]
    await till.verified()


async def test_the_provider_is_asked_before_a_hold_with_money_on_its_way_is_over(till: Till) -> None:
    """The buyer has paid, and the webhook was lost."""
    order = await till.order()
    payment_id = await till.pays(order.order_id, method=None)
    await till.run()
    await till.sandbox.control(shares={"webhook_lost": 1.0})
    await _pays_on(await _page(till, payment_id))
    assert await till.applied(ExpireOrder(order.order_id, 60.0), STAFF) == "applied"
    assert await till.floor.order_status(order.order_id) == "placed"
    assert await till.floor.stock("MUG") == (50, 3)
    await till.run()
    assert await till.floor.order_status(order.order_id) == "confirmed"
    await till.tasks.make_due()
    await till.run()
    assert await till.events(order.order_id) == ["order.placed", "order.hold_ended", "order.confirmed"]
    assert await till.amounts(payment_id) == Amounts(charged=300)
    await till.verified()


async def test_a_hold_whose_money_does_not_come_is_over_after_its_grace(till: Till) -> None:
    order = await till.order()
    payment_id = await till.pays(order.order_id, method=None)
    await till.run()
    assert await till.applied(ExpireOrder(order.order_id, 60.0), STAFF) == "applied"
    await till.run()
    assert await till.status(payment_id) == "failed"
    assert await till.floor.stock("MUG") == (50, 3)
    expiring = await till.tasks.task(f"expire:{order.order_id}")
    assert expiring is not None
    assert 50 < (expiring["due_at"] - expiring["created_at"]).total_seconds() < 70
    await till.tasks.make_due()
    await till.run()
    assert await till.events(order.order_id) == ["order.placed", "order.hold_ended", "order.expired"]
    assert await till.floor.stock("MUG") == (50, 0)
    await till.verified()


async def test_a_hold_has_no_grace_without_money_on_its_way(till: Till) -> None:
    unpaid, declined, invoiced = [await till.order() for _ in range(3)]
    await till.paid(declined.order_id, "card+decline")
    await till.pays(invoiced.order_id, method=None, provider="invoice")
    await till.run()
    for order in (unpaid, declined, invoiced):
        assert await till.applied(ExpireOrder(order.order_id, 60.0), STAFF) == "applied"
        assert await till.floor.order_status(order.order_id) == "expired"
    await till.run()
    await till.verified()


async def test_charged_money_that_comes_after_the_hold_is_listed_until_it_is_refunded(till: Till) -> None:
    order = await till.order()
    payment_id = await till.pays(order.order_id)
    assert await till.applied(ExpireOrder(order.order_id), STAFF) == "applied"
    await till.run()
    assert await till.amounts(payment_id) == Amounts(charged=300)
    assert await till.floor.order_status(order.order_id) == "expired"
    assert await _orphans(till) == [payment_id]
    refund = RefundPayment(order.order_id, payment_id, till.id_beside(payment_id), 300, "The order had expired")
    assert await till.applied(refund) == "applied"
    await till.run()
    assert await till.amounts(payment_id) == Amounts(charged=300, refunded=300)
    assert await _orphans(till) == []
    await till.verified()


async def test_authorized_money_that_comes_after_the_hold_is_let_go(till: Till) -> None:
    order = await till.order()
    payment_id = await till.pays(order.order_id, capture="manual")
    assert await till.applied(ExpireOrder(order.order_id), STAFF) == "applied"
    await till.run()
    assert await till.amounts(payment_id) == Amounts(authorized=300, cancelled=300)
    assert await _orphans(till) == []
    await till.verified()


async def test_money_that_is_authorized_while_it_is_let_go_confirms_nothing(till: Till) -> None:
    """The provider was not asked before the hold was over: it authorizes first, and then hears that it need not."""
    order = await till.order()
    payment_id = await till.pays(order.order_id, capture="manual")
    assert await till.applied(ExpireOrder(order.order_id, 60.0), STAFF) == "applied"
    await till.run()
    assert await till.amounts(payment_id) == Amounts(authorized=300, cancelled=300)
    assert await till.floor.order_status(order.order_id) == "placed"
    await till.tasks.make_due()
    await till.run()
    assert await till.events(order.order_id) == ["order.placed", "order.hold_ended", "order.expired"]
    assert await till.floor.stock("MUG") == (50, 0)
    await till.verified()


async def test_a_card_that_was_declined_and_is_authorized_after_the_hold_is_let_go(till: Till) -> None:
    """The provider has changed its mind, when nothing was left to be ended."""
    order = await till.order()
    payment_id = await till.paid(order.order_id, "card+decline", capture="manual")
    assert await till.applied(ExpireOrder(order.order_id), STAFF) == "applied"
    assert (await till.events(payment_id)).count("payment.requested") == 0
    authorized = Entry("authorization_success", str(payment_id), 300, datetime.now(UTC))
    assert await till.applied(ReportPayment(order.order_id, payment_id, "GBP", (authorized,)), PROVIDER) == "applied"
    assert await till.events(payment_id) == [
        "payment.created",
        "payment.reported",
        "payment.reported",
        "payment.requested",
    ]
    await till.floor.verified()


async def test_payments_know_when_their_order_ended_whichever_way_it_was_written(till: Till) -> None:
    """Even if the order was placed in the same batch; and undoing the order by hand undoes that, too."""
    floor = till.floor
    await floor.fill(MUG=50)
    order = floor.place(MUG=3)
    payment_id = till.id_beside(order.order_id)
    paying = CreatePayment(order.order_id, payment_id, "invoice", Invoice.capabilities)
    posted = await floor.post_all([order, paying], actor=ANN)
    posted += await floor.post_all([CancelOrder(order.order_id)], actor=STAFF)
    assert await floor.statuses(posted) == ["not recorded"] * 3, "all of them are in one batch"
    await floor.drain()
    ended_at = await floor.pool.fetchval("SELECT updated_at FROM orders WHERE id = $1", order.order_id)
    assert await _order_ended_at(till, payment_id) == ended_at

    await floor.pool.execute("UPDATE orders SET updated_at = now() WHERE id = $1", order.order_id)
    assert await _order_ended_at(till, payment_id) == ended_at, "it ended once"
    await floor.pool.execute("UPDATE orders SET status = 'placed' WHERE id = $1", order.order_id)
    assert await _order_ended_at(till, payment_id) is None


async def _order_ended_at(till: Till, payment_id: UUID) -> object:
    return (await till.row(payment_id))["order_ended_at"]
