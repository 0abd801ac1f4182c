"""Money that staff refund is not due again; what nobody has paid still is."""

from __future__ import annotations

import pytest

from domain.orders import FulfilOrder
from domain.payments.amounts import Amounts
from domain.payments.commands import CapturePayment, CreatePayment, RefundPayment, VoidPayment
from domain.payments.refunding import RefundOrder
from tests.integration.shopfloor import ANN
from tests.integration.till import ALL, Till


@pytest.mark.parametrize("fulfilled", [False, True])
@pytest.mark.parametrize("amount_minor", [120, 300])
async def test_what_was_given_back_is_not_paid_again(till: Till, amount_minor: int, fulfilled: bool) -> None:
    order = await till.order()
    payment_id = await till.paid(order.order_id)
    if fulfilled:
        assert await till.applied(FulfilOrder(order.order_id)) == "applied"
    refund = RefundPayment(order.order_id, payment_id, till.id_beside(payment_id), amount_minor, "Broken")
    assert await till.applied(refund) == "applied"
    again = CreatePayment(order.order_id, till.id_beside(order.order_id), "sandbox", ALL, method="card")
    assert await till.applied(again, ANN) == "rejected: order_paid"
    await till.run()
    assert await till.amounts(payment_id) == Amounts(charged=300, refunded=amount_minor)
    again = CreatePayment(order.order_id, till.id_beside(order.order_id), "sandbox", ALL, method="card")
    assert await till.applied(again, ANN) == "rejected: order_paid"
    await till.run()
    assert (await till.provider_s())["charge_success"] == 300
    await till.verified()


async def test_what_was_let_go_is_paid_by_another_payment_after_a_refund(till: Till) -> None:
    """300 are authorized, 180 captured, and 60 of them given back: the other 120 are left to pay, once."""
    order = await till.order()
    first = await till.paid(order.order_id, capture="manual")
    about = (order.order_id, first)
    assert await till.applied(CapturePayment(*about, till.id_beside(first), 180)) == "applied"
    await till.run()
    assert await till.applied(VoidPayment(*about, till.id_beside(first))) == "applied"
    assert await till.applied(RefundOrder(order.order_id, till.id_beside(first), 60, "Broken")) == "applied"
    await till.run()
    second = await till.paid(order.order_id)
    assert await till.amounts(second) == Amounts(charged=120)
    again = CreatePayment(order.order_id, till.id_beside(order.order_id), "sandbox", ALL, method="card")
    assert await till.applied(again, ANN) == "rejected: order_paid"
    await till.verified()
