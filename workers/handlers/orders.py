"""What orders are decided on, and what they write."""

from datetime import datetime

from domain.orders import CANCELLED, PLACED, CancelOrder, OrderCancelled, OrderPlaced, PlaceOrder
from workers.handlers import needs, writes
from workers.rows import Needs, Rows


@needs(PlaceOrder)
def _place(command: PlaceOrder, into: Needs) -> None:
    for wanted in command.lines:
        into.skus.add(wanted.sku)


@needs(CancelOrder)
def _cancel(command: CancelOrder, into: Needs) -> None:
    into.order_ids.add(command.order_id)


@writes(OrderPlaced)
def _placed(event: OrderPlaced, into: Rows, at: datetime) -> None:
    order_id = event.order_id
    into.orders.append((order_id, event.customer_id, PLACED, event.currency, event.total_minor, at, at))
    for line in event.lines:
        into.lines.append((order_id, line.sku, line.quantity, line.unit_price_minor))
        into.move_stock(line.sku, 0, line.quantity)


@writes(OrderCancelled)
def _cancelled(event: OrderCancelled, into: Rows, at: datetime) -> None:
    into.order_statuses[event.order_id] = (CANCELLED, at)
    for line in event.lines:
        into.move_stock(line.sku, 0, -line.quantity)
