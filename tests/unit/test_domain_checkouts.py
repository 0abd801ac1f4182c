"""Checkouts are open until one order comes of them, or nothing."""

from typing import Final
from uuid import UUID

import pytest

from domain.completion import CompleteCheckout
from domain.ids import new_id
from domain.model import Wanted
from domain.payments.commands import CreatePayment
from domain.payments.payment import Capabilities

_CHECKOUT: Final = new_id(1, 7, 1)
_ORDER: Final = new_id(1, 7, 2)
_PAYMENT: Final = new_id(1, 7, 3)
_ELSEWHERE: Final = new_id(1, 8, 2)


def _completion(order_id: UUID, paid_id: UUID) -> CompleteCheckout:
    payment = CreatePayment(paid_id, _PAYMENT, "sandbox", Capabilities())
    return CompleteCheckout(_CHECKOUT, order_id, (Wanted("MUG", 1),), 100, payment=payment)


def test_a_checkout_its_order_and_its_payment_are_decided_together() -> None:
    assert _completion(_ORDER, _ORDER).slot() == 7
    with pytest.raises(ValueError, match="slot of its checkout"):
        _completion(_ELSEWHERE, _ELSEWHERE)
    with pytest.raises(ValueError, match="for its order"):
        _completion(_ORDER, _CHECKOUT)
