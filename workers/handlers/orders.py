"""What commands about orders are decided on, where in the log orders were placed, and how they move stock. Orders
themselves are written whole (see `runtime/orders.py`)."""

from domain.erasure import EraseOrderAddress, OrderAddressErased
from domain.orders import (
    CancelOrder,
    ConfirmOrder,
    ExpireOrder,
    FulfilOrder,
    OrderCancelled,
    OrderConfirmed,
    OrderExpired,
    OrderPlaced,
    PlaceOrder,
)
from workers.handlers import reads, writes
from workers.rows import ReadSet, Rows


@reads(PlaceOrder)
def _place(command: PlaceOrder, into: ReadSet) -> None:
    for wanted in command.lines:
        into.skus.add(wanted.sku)


@reads(ConfirmOrder)
@reads(FulfilOrder)
@reads(CancelOrder)
@reads(ExpireOrder)
@reads(EraseOrderAddress)
def _move(command: ConfirmOrder | FulfilOrder | CancelOrder | ExpireOrder | EraseOrderAddress, into: ReadSet) -> None:
    into.order_ids.add(command.order_id)


@writes(OrderPlaced)
def _placed(event: OrderPlaced, into: Rows) -> None:
    into.places_of_orders[event.order_id] = into.place
    for line in event.lines:
        into.move_stock(line.sku, 0, line.quantity)


@writes(OrderCancelled)
def _cancelled(event: OrderCancelled, into: Rows) -> None:
    for line in event.lines:
        if event.confirmed:
            into.move_stock(line.sku, line.quantity, 0)
        else:
            into.move_stock(line.sku, 0, -line.quantity)


@writes(OrderConfirmed)
def _confirmed(event: OrderConfirmed, into: Rows) -> None:
    for line in event.lines:
        into.move_stock(line.sku, -line.quantity, -line.quantity)


@writes(OrderExpired)
def _expired(event: OrderExpired, into: Rows) -> None:
    for line in event.lines:
        into.move_stock(line.sku, 0, -line.quantity)


@writes(OrderAddressErased)
def _address_erased(event: OrderAddressErased, into: Rows) -> None:
    into.erasure.of_guest(event.customer_id)
