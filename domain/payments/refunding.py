"""Refunds of an order, whatever it was paid with: a named rule splits the amount over its payments, and either all of
it is refunded or nothing."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from domain.ids import slot_of_id
from domain.limits import REASON_MAX_CHARS
from domain.model import Command, Context, Decision, Event, Rejection, Shop, decides
from domain.orders import order_of
from domain.payments.commands import Amount
from domain.payments.deciding import request
from domain.payments.payment import Payment, payments_of
from domain.payments.rules import may_refund

RefundRule = Literal["cards_first", "cards_last"]
"""Whether gift cards and store credit are refunded before or after payments through providers. Among each of them,
payments are refunded in the order in which they were made."""

CARDS_FIRST: Final[RefundRule] = "cards_first"


class RefundOrder(Command, frozen=True):
    """Staff refund all or part of what was paid for an order, for a reason. `act_id` and the payment's id together
    identify the refund of each payment, here and at its provider."""

    order_id: UUID
    act_id: UUID
    amount_minor: Amount
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=REASON_MAX_CHARS)]
    rule: RefundRule = CARDS_FIRST

    def slot(self) -> int:
        return slot_of_id(self.order_id)


@decides(RefundOrder)
def _refund(shop: Shop, command: RefundOrder, context: Context) -> Decision:
    order = order_of(shop, command.order_id, context)
    if isinstance(order, Rejection):
        return order
    payments = payments_of(shop, order.order_id)
    refundable_minor = sum(payment.refundable for payment in payments)
    if command.amount_minor > refundable_minor:
        about = {"order_id": str(order.order_id), "refundable_minor": refundable_minor}
        return Rejection("refund_exceeds_paid", "This is more than was paid.", about)
    events: list[Event] = []
    for payment, share_minor in shares(payments, command.amount_minor, command.rule):
        if refused := may_refund(payment, share_minor):
            return refused
        # This is the idempotency key at the provider, which accepts a key for one payment only.
        act = f"{command.act_id}:{payment.id}"
        events.append(request(payment, "refund", act, share_minor, context, command.reason))
    return events


def shares(payments: Iterable[Payment], amount_minor: int, rule: RefundRule) -> Iterator[tuple[Payment, int]]:
    """How much of each payment is refunded: as much as possible, in the order of the rule, until the amount is
    reached."""
    later = rule == CARDS_FIRST

    def place(payment: Payment) -> tuple[bool, UUID]:
        return (payment.card_id is None) is later, payment.id

    for payment in sorted(payments, key=place):
        if share_minor := min(amount_minor, payment.refundable):
            amount_minor -= share_minor
            yield payment, share_minor
