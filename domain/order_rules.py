"""The rules of placed orders: their transitions, and the effects on cards that pay for them. Cancelling and expiring
are in `domain/ending.py`.
"""

from uuid import UUID

from domain.model import Context, Decision, Event, Order, Rejection, Shop, decides
from domain.orders import (
    TRANSITIONS,
    ConfirmOrder,
    FulfilOrder,
    OrderConfirmed,
    OrderFulfilled,
    order_of,
)
from domain.payments.by_card import charges
from domain.payments.coverage import secured
from domain.payments.payment import payments_of


@decides(ConfirmOrder)
def _confirm(shop: Shop, command: ConfirmOrder, context: Context) -> Decision:
    order = movable(shop, command.order_id, context, OrderConfirmed)
    if isinstance(order, Rejection):
        return order
    payments = payments_of(shop, order.order_id)
    # Buyers confirm an order from a checkout by paying for it. Quick orders are not paid for here.
    if not order.is_quick and not context.actor.is_staff and secured(payments) < order.total_minor:
        return Rejection(
            "order_state_conflict",
            "The order is confirmed when it is paid.",
            {"order_id": str(order.order_id), "order_status": order.status},
        )
    confirmed = OrderConfirmed(order.order_id, order.customer_id, order.lines)
    return (confirmed, *charges(payments, context.at))


@decides(FulfilOrder)
def _fulfil(shop: Shop, command: FulfilOrder, context: Context) -> Decision:
    order = movable(shop, command.order_id, context, OrderFulfilled)
    if isinstance(order, Rejection):
        return order
    return (OrderFulfilled(order.order_id, order.customer_id),)


def movable(shop: Shop, order_id: UUID, context: Context, event: type[Event]) -> Order | Rejection:
    """The order, if the actor may do something to it and it is in a status from which the event may take it."""
    order = order_of(shop, order_id, context)
    if isinstance(order, Rejection):
        return order
    sources, target = TRANSITIONS[event]
    if order.status not in sources:
        return Rejection(
            "order_state_conflict",
            f"Only a {' or '.join(sources)} order can be {target}; this one is {order.status}.",
            {"order_id": str(order_id), "order_status": order.status},
        )
    return order
