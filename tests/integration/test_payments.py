"""Payments from the command to the provider and back: orders are paid once, whatever the sandbox does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from domain.orders import CancelOrder
from domain.payments.amounts import Amounts
from domain.payments.commands import (
    CapturePayment,
    CreatePayment,
    RefundPayment,
    ReportPayment,
    SettlePayment,
    VoidPayment,
)
from domain.payments.entries import Entry
from domain.payments.refunding import RefundOrder
from tests.integration.shopfloor import ANN, BOB
from tests.integration.till import ALL, PROVIDER, Till
from workers.tasks.kinds import CALLS


async def test_a_paid_order_is_confirmed_and_its_money_is_in_the_log(till: Till) -> None:
    order = await till.order()
    payment_id = await till.pays(order.order_id)
    assert await till.status(payment_id) == "pending"
    await till.run()
    assert await till.amounts(payment_id) == Amounts(charged=300)
    assert await till.floor.order_status(order.order_id) == "confirmed"
    assert await till.provider_s() == {"charge_success": 300}
    await till.floor.verified()


async def test_a_decline_leaves_the_pieces_reserved_and_another_card_pays(till: Till) -> None:
    order = await till.order()
    declined = await till.paid(order.order_id, "card+decline")
    assert (await till.status(declined), await till.floor.order_status(order.order_id)) == ("failed", "placed")
    paid = await till.paid(order.order_id)
    assert await till.status(paid) == "charged"
    assert await till.floor.order_status(order.order_id) == "confirmed"
    assert await till.provider_s() == {"charge_success": 300}
    await till.floor.verified()


async def test_two_tabs_that_pay_one_order_pay_it_once(till: Till) -> None:
    order = await till.order()
    commands = [CreatePayment(order.order_id, till.id_beside(order.order_id), "sandbox", ALL) for _ in range(2)]
    outcomes = await asyncio.gather(*(till.applied(command, ANN) for command in commands))
    assert sorted(outcomes) == ["applied", "rejected: payment_pending"]
    await till.floor.verified()


async def test_paid_cancelled_and_other_people_s_orders_cannot_be_paid(till: Till) -> None:
    order = await till.order()
    one = CreatePayment(order.order_id, till.id_beside(order.order_id), "sandbox", ALL, method="card")
    assert await till.applied(one, BOB) == "rejected: order_not_found"
    await till.paid(order.order_id)
    again = CreatePayment(order.order_id, till.id_beside(order.order_id), "sandbox", ALL)
    assert await till.applied(again, ANN) == "rejected: order_paid"
    other = await till.order()
    await till.applied(CancelOrder(other.order_id), ANN)
    late = CreatePayment(other.order_id, till.id_beside(other.order_id), "sandbox", ALL)
    assert await till.applied(late, ANN) == "rejected: order_state_conflict"


@pytest.mark.parametrize("mood", ["lose_request", "lose_answer"])
async def test_an_answer_that_is_lost_is_asked_for_again_and_nothing_is_charged_twice(till: Till, mood: str) -> None:
    order = await till.order()
    payment_id = await till.pays(order.order_id, f"card+{mood}")
    assert await till.tasks.run_due(CALLS) == 1
    assert await till.status(payment_id) == "pending"
    await till.tasks.make_due()
    await till.run()
    assert await till.amounts(payment_id) == Amounts(charged=300)
    assert await till.provider_s() == {"charge_success": 300}
    await till.floor.verified()


async def test_a_webhook_before_the_answer_after_it_and_twice_has_one_effect(till: Till) -> None:
    order = await till.order()
    payment_id = await till.pays(order.order_id, "card+lose_answer+webhook_twice")
    assert await till.tasks.run_due(CALLS) == 1
    for received in await till.shop.has(2):
        assert await till.hears(received) == "applied"
    assert await till.floor.order_status(order.order_id) == "confirmed"
    await till.tasks.make_due()
    await till.run()
    assert await till.events(payment_id) == [
        "payment.created",
        "payment.reported",
        "payment.unchanged",
        "payment.unchanged",
    ]
    assert await till.amounts(payment_id) == Amounts(charged=300)
    await till.floor.verified()


async def test_what_nobody_told_is_asked_for(till: Till) -> None:
    """The buyer pays on the page, and the webhook never comes."""
    order = await till.order()
    payment_id = await till.pays(order.order_id, method=None)
    await till.run()
    assert await till.status(payment_id) == "action_required"
    row = await till.row(payment_id)
    await till.sandbox.control(shares={"webhook_lost": 1.0})
    page = f"{till.sandbox.url}/pay/{row['provider_reference']}"
    async with till.sandbox.session.post(page, data={"choice": "pay"}, allow_redirects=False) as response:
        assert response.headers["Location"] == "https://shop.example/"
    assert await till.status(payment_id) == "action_required"
    asking = await till.tasks.task(f"ask:{payment_id}")
    assert asking is not None
    assert 290 < (asking["due_at"] - asking["created_at"]).total_seconds() < 310
    await till.tasks.make_due()
    await till.run()
    assert await till.amounts(payment_id) == Amounts(charged=300)
    assert await till.floor.order_status(order.order_id) == "confirmed"
    assert await till.tasks.task(f"ask:{payment_id}") is None
    await till.floor.verified()


async def test_what_stays_pending_is_asked_about_less_and_less_often(till: Till) -> None:
    order = await till.order()
    payment_id = await till.pays(order.order_id, method=None)
    await till.run()
    before = await till.events(payment_id)
    seconds = []
    for _ in range(5):
        await till.tasks.make_due()
        await till.run()
        left = "SELECT round(extract(epoch FROM due_at - now()), -1) FROM tasks WHERE subject = $1"
        seconds.append(await till.tasks.pool.fetchval(left, f"ask:{payment_id}"))
    assert seconds == [600, 1_200, 2_400, 3_600, 3_600]
    assert await till.events(payment_id) == before, "what is not news is not in the log"
    await till.verified()


async def test_authorized_money_is_captured_in_parts_and_the_rest_let_go(till: Till) -> None:
    order = await till.order()
    payment_id = await till.paid(order.order_id, capture="manual")
    assert await till.amounts(payment_id) == Amounts(authorized=300)
    assert await till.floor.order_status(order.order_id) == "confirmed"
    about = (order.order_id, payment_id)
    assert await till.applied(CapturePayment(*about, till.id_beside(payment_id), 301)) == (
        "rejected: capture_exceeds_authorized"
    )
    assert await till.applied(CapturePayment(*about, till.id_beside(payment_id), 100)) == "applied"
    assert await till.applied(VoidPayment(*about, till.id_beside(payment_id))) == "rejected: payment_busy"
    await till.run()
    assert await till.applied(VoidPayment(*about, till.id_beside(payment_id))) == "applied"
    await till.run()
    assert await till.amounts(payment_id) == Amounts(authorized=300, charged=100, cancelled=200)
    assert await till.provider_s() == {"authorization_success": 300, "charge_success": 100, "cancel_success": 200}
    await till.floor.verified()


async def test_two_refunds_at_once_that_together_exceed_are_one(till: Till) -> None:
    order = await till.order()
    payment_id = await till.paid(order.order_id)
    about = (order.order_id, payment_id)
    outcomes = await asyncio.gather(
        *(till.applied(RefundPayment(*about, till.id_beside(payment_id), 200, "Broken")) for _ in range(2))
    )
    assert sorted(outcomes) == ["applied", "rejected: refund_exceeds_charged"]
    await till.run()
    assert await till.amounts(payment_id) == Amounts(charged=300, refunded=200)
    assert await till.provider_s() == {"charge_success": 300, "refund_success": 200}
    await till.floor.verified()


async def test_an_order_s_refund_is_another_act_at_the_provider_for_each_payment(till: Till) -> None:
    order = await till.order()
    first = await till.paid(order.order_id, capture="manual")
    about = (order.order_id, first)
    assert await till.applied(CapturePayment(*about, till.id_beside(first), 180)) == "applied"
    await till.run()
    assert await till.applied(VoidPayment(*about, till.id_beside(first))) == "applied"
    await till.run()
    second = await till.paid(order.order_id)
    assert await till.amounts(second) == Amounts(charged=120)
    assert await till.applied(RefundOrder(order.order_id, till.id_beside(first), 300, "Broken")) == "applied"
    await till.run()
    assert [await till.status(payment_id) for payment_id in (first, second)] == ["refunded", "refunded"]
    assert (await till.provider_s())["refund_success"] == 300
    await till.verified()


async def test_a_capture_and_a_refund_at_once_refund_only_what_is_charged(till: Till) -> None:
    order = await till.order()
    payment_id = await till.paid(order.order_id, capture="manual")
    about = (order.order_id, payment_id)
    assert await till.applied(CapturePayment(*about, till.id_beside(payment_id), 300)) == "applied"
    refund = RefundPayment(*about, till.id_beside(payment_id), 300, "Changed my mind")
    assert await till.applied(refund) == "rejected: refund_exceeds_charged"
    await till.run()
    again = RefundPayment(*about, till.id_beside(payment_id), 300, "Changed my mind")
    assert await till.applied(again) == "applied"
    await till.run()
    assert await till.amounts(payment_id) == Amounts(authorized=300, charged=300, refunded=300)
    await till.floor.verified()


async def test_an_attempt_that_is_given_up_frees_the_order_for_another(till: Till) -> None:
    order = await till.order()
    waiting = await till.pays(order.order_id, method=None)
    await till.run()
    assert await till.applied(VoidPayment(order.order_id, waiting, till.id_beside(waiting))) == "applied"
    await till.run()
    assert await till.amounts(waiting) == Amounts()
    assert await till.status(await till.paid(order.order_id)) == "charged"
    await till.floor.verified()


async def test_what_a_provider_does_not_let_go_is_asked_for_once(till: Till) -> None:
    order = await till.order()
    payment_id = await till.pays(order.order_id, capture="manual")
    assert await till.applied(CancelOrder(order.order_id), ANN) == "applied"
    about = (order.order_id, payment_id)
    assert await till.events(payment_id) == ["payment.created", "payment.requested"]
    now = datetime.now(UTC)
    authorized = Entry("authorization_success", str(payment_id), 300, now)
    assert await till.applied(ReportPayment(*about, "GBP", (authorized,)), PROVIDER) == "applied"
    asked = [kind for kind in await till.events(payment_id) if kind == "payment.requested"]
    refused = Entry("cancel_failure", f"{payment_id}:1", 300, now)
    assert await till.applied(ReportPayment(*about, "GBP", (refused,)), PROVIDER) == "applied"
    assert (len(asked), (await till.events(payment_id)).count("payment.requested")) == (1, 1)


async def test_amounts_in_another_currency_and_contradictions_are_noted_and_not_counted(till: Till) -> None:
    order = await till.order()
    payment_id = await till.pays(order.order_id)
    now = datetime.now(UTC)
    told = Entry("charge_success", str(payment_id), 300, now)
    about = (order.order_id, payment_id)
    assert await till.applied(ReportPayment(*about, "JPY", (told,)), PROVIDER) == "applied"
    assert await till.amounts(payment_id) == Amounts(charge_pending=300)
    await till.run()
    more = Entry("charge_success", str(payment_id), 30_000, now)
    for _ in range(2):
        assert await till.applied(ReportPayment(*about, "GBP", (more,)), PROVIDER) == "applied"
    assert await till.amounts(payment_id) == Amounts(charged=300)
    assert (await till.events(payment_id))[-1] == "payment.unchanged"
    await till.floor.verified()


async def test_an_invoice_is_paid_when_staff_say_so(till: Till) -> None:
    order = await till.order()
    payment_id = await till.pays(order.order_id, method=None, provider="invoice")
    await till.run()
    assert (await till.status(payment_id), await till.tasks.task(f"ask:{payment_id}")) == ("pending", None)
    about = (order.order_id, payment_id)
    assert await till.applied(SettlePayment(*about, "unknown", True)) == "rejected: nothing_pending"
    assert await till.applied(SettlePayment(*about, str(payment_id), True)) == "applied"
    assert await till.floor.order_status(order.order_id) == "confirmed"
    assert await till.applied(SettlePayment(*about, str(payment_id), True)) == "rejected: nothing_pending"
    act_id = till.id_beside(payment_id)
    assert await till.applied(RefundPayment(*about, act_id, 100, "Broken")) == "applied"
    await till.run()
    assert await till.applied(SettlePayment(*about, str(act_id), False)) == "applied"
    assert await till.amounts(payment_id) == Amounts(charged=300)
    await till.floor.verified()


async def test_an_invoice_that_is_being_given_up_is_not_paid_meanwhile(till: Till) -> None:
    order = await till.order()
    payment_id = await till.pays(order.order_id, method=None, provider="invoice")
    await till.run()
    about = (order.order_id, payment_id)
    assert await till.applied(VoidPayment(*about, till.id_beside(payment_id))) == "applied"
    assert await till.applied(SettlePayment(*about, str(payment_id), True)) == "rejected: payment_busy"
    await till.run()
    assert await till.floor.order_status(order.order_id) == "placed"
    assert (await till.amounts(payment_id)).charged == 0
    await till.floor.verified()


async def test_staff_do_not_say_what_a_provider_says(till: Till) -> None:
    order = await till.order()
    payment_id = await till.pays(order.order_id)
    settle = SettlePayment(order.order_id, payment_id, str(payment_id), True)
    assert await till.applied(settle) == "rejected: provider_reports"
