"""What orders are decided on, and what they write."""

from domain.orders import (
    CANCELLED,
    CONFIRMED,
    EXPIRED,
    FULFILLED,
    PLACED,
    CancelOrder,
    ConfirmOrder,
    ExpireOrder,
    FulfilOrder,
    OrderCancelled,
    OrderConfirmed,
    OrderExpired,
    OrderFulfilled,
    OrderPlaced,
    PlaceOrder,
)
from workers.handlers import needs, writes
from workers.rows import Needs, NewOrder, Rows


@needs(PlaceOrder)
def _place(command: PlaceOrder, into: Needs) -> None:
    for wanted in command.lines:
        into.skus.add(wanted.sku)


@needs(ConfirmOrder)
@needs(FulfilOrder)
@needs(CancelOrder)
@needs(ExpireOrder)
def _move(command: ConfirmOrder | FulfilOrder | CancelOrder | ExpireOrder, into: Needs) -> None:
    into.order_ids.add(command.order_id)


@writes(OrderPlaced)
def _placed(event: OrderPlaced, into: Rows) -> None:
    order_id = event.order_id
    into.orders.append(
        NewOrder(order_id, event.customer_id, PLACED, event.currency, event.total_minor, event.email, into.place)
    )
    for position, line in enumerate(event.lines):
        into.lines.append((order_id, position, line.sku, line.quantity, line.unit_price_minor))
        into.move_stock(line.sku, 0, line.quantity)


@writes(OrderCancelled)
def _cancelled(event: OrderCancelled, into: Rows) -> None:
    into.order_statuses[event.order_id] = CANCELLED
    for line in event.lines:
        if event.confirmed:
            into.move_stock(line.sku, line.quantity, 0)
        else:
            into.move_stock(line.sku, 0, -line.quantity)


@writes(OrderConfirmed)
def _confirmed(event: OrderConfirmed, into: Rows) -> None:
    into.order_statuses[event.order_id] = CONFIRMED
    for line in event.lines:
        into.move_stock(line.sku, -line.quantity, -line.quantity)


@writes(OrderFulfilled)
def _fulfilled(event: OrderFulfilled, into: Rows) -> None:
    into.order_statuses[event.order_id] = FULFILLED


@writes(OrderExpired)
def _expired(event: OrderExpired, into: Rows) -> None:
    into.order_statuses[event.order_id] = EXPIRED
    for line in event.lines:
        into.move_stock(line.sku, 0, -line.quantity)
