"""How orders end without a sale: they are cancelled, or their hold expires. They then give back everything they held:
the pieces, what their checkout took from limits, what cards paid, and authorized money; and open attempts to pay are
ended.

If a payment is pending when a hold ends, the pieces are not released yet: first the attempts to pay are ended at their
providers, which report the outcomes. This takes at most the hold's grace period.
"""

from collections.abc import Iterable
from typing import ClassVar
from uuid import UUID

from domain.checkouts import Checkout, CheckoutReturned
from domain.model import Context, Decision, Event, Order, Rejection, Shop, decides, evolves
from domain.order_rules import movable
from domain.orders import CONFIRMED, CancelOrder, ExpireOrder, OrderCancelled, OrderExpired
from domain.payments.by_card import returns
from domain.payments.deciding import let_go
from domain.payments.payment import payments_of
from domain.tasks import NewTask, schedules


class OrderHoldEnded(Event, frozen=True):
    """The order's hold is over, but money for it is on its way: it expires in `grace_seconds`, unless that comes."""

    type: ClassVar[str] = "order.hold_ended"
    order_id: UUID
    customer_id: str
    grace_seconds: float

    def subject(self) -> str:
        return str(self.order_id)


@evolves(OrderHoldEnded)
def _hold_ended(shop: Shop, event: OrderHoldEnded) -> None:
    """The order itself stays as it is."""


@schedules(OrderHoldEnded)
def _expires(event: OrderHoldEnded) -> tuple[NewTask]:
    """The task has a subject of its own, so that it does not wait for the order's payments."""
    return (NewTask("expire_order", f"expire:{event.order_id}", after_seconds=event.grace_seconds),)


@decides(CancelOrder)
def _cancel(shop: Shop, command: CancelOrder, context: Context) -> Decision:
    order = movable(shop, command.order_id, context, OrderCancelled)
    if isinstance(order, Rejection):
        return order
    cancelled = OrderCancelled(order.order_id, order.customer_id, order.lines, order.status == CONFIRMED)
    return (cancelled, *_given_back(shop, order, context, "order_cancelled"))


@decides(ExpireOrder)
def _expire(shop: Shop, command: ExpireOrder, context: Context) -> Decision:
    order = movable(shop, command.order_id, context, OrderExpired)
    if isinstance(order, Rejection):
        return order
    if command.grace_seconds > 0:
        waited_for = [payment for payment in payments_of(shop, order.order_id) if payment.is_on_its_way]
        if waited_for:
            ended = OrderHoldEnded(order.order_id, order.customer_id, command.grace_seconds)
            return (ended, *let_go(waited_for, context, "hold_ended"))
    expired = OrderExpired(order.order_id, order.customer_id, order.lines)
    return (expired, *_given_back(shop, order, context, "order_expired"))


def _given_back(shop: Shop, order: Order, context: Context, reason: str) -> Iterable[Event]:
    """What a cancelled or expired order gives back besides its pieces."""
    checkout = None if order.checkout_id is None else shop.of(Checkout).get(order.checkout_id)
    if checkout is not None and checkout.quote is not None and checkout.quote.takes:
        yield CheckoutReturned(checkout.id, order.customer_id, order.order_id, checkout.quote.takes)
    payments = payments_of(shop, order.order_id)
    yield from returns(payments, context.at)
    yield from let_go(payments, context, reason)
