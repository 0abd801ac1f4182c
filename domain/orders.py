"""Orders: placing one reserves all of its lines or nothing; cancelling one releases what it reserved."""

from typing import Annotated, ClassVar, Final
from uuid import UUID

import msgspec

from domain.ids import slot_of_id
from domain.limits import LINE_MAX_QUANTITY, ORDER_MAX_LINES, ORDER_MAX_TOTAL_MINOR, PRINCIPAL_MAX_CHARS
from domain.model import Command, Decision, Event, Line, Order, Rejection, Shop, Who, decides, evolves
from domain.stock import NOTHING, insufficient_stock, move_reserved, unknown_sku

PLACED: Final = "placed"
CANCELLED: Final = "cancelled"


class Wanted(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A line as the customer asks for it: no price, that is the catalogue's to say."""

    sku: str
    quantity: Annotated[int, msgspec.Meta(ge=1, le=LINE_MAX_QUANTITY * ORDER_MAX_LINES)]


class PlaceOrder(Command, frozen=True):
    order_id: UUID
    customer_id: Annotated[str, msgspec.Meta(max_length=PRINCIPAL_MAX_CHARS)]
    lines: Annotated[tuple[Wanted, ...], msgspec.Meta(min_length=1, max_length=ORDER_MAX_LINES)]

    def slot(self) -> int:
        return slot_of_id(self.order_id)


class CancelOrder(Command, frozen=True):
    order_id: UUID

    def slot(self) -> int:
        return slot_of_id(self.order_id)


class OrderPlaced(Event, frozen=True):
    type: ClassVar[str] = "order.placed"
    order_id: UUID
    customer_id: str
    currency: str
    total_minor: int
    lines: tuple[Line, ...]

    def subject(self) -> str:
        return str(self.order_id)


class OrderCancelled(Event, frozen=True):
    """`lines` are the order's own: what they reserved is released."""

    type: ClassVar[str] = "order.cancelled"
    order_id: UUID
    customer_id: str
    lines: tuple[Line, ...]

    def subject(self) -> str:
        return str(self.order_id)


@decides(PlaceOrder)
def _place(shop: Shop, command: PlaceOrder, who: Who) -> Decision:
    products, stock = shop.products, shop.stock
    lines, total, currencies, unknown, short = [], 0, set(), [], []
    if len(command.lines) > 1 and len({wanted.sku for wanted in command.lines}) != len(command.lines):
        raise ValueError("a SKU stands once in an order: sum its quantities first")
    for wanted in command.lines:
        product = products.get(wanted.sku)
        if product is None:
            unknown.append(wanted.sku)
            continue
        quantity, available = wanted.quantity, stock.get(wanted.sku, NOTHING).available
        if quantity > available:
            short.append({"sku": wanted.sku, "requested": quantity, "available": available})
        lines.append(Line(wanted.sku, quantity, product.price_minor))
        total += quantity * product.price_minor
        currencies.add(product.currency)
    if unknown:
        return unknown_sku(unknown)
    if len(currencies) != 1:
        return Rejection("mixed_currencies", "An order has one currency.", {"currencies": sorted(currencies)})
    if total > ORDER_MAX_TOTAL_MINOR:
        return Rejection(
            "order_total_exceeded",
            f"An order's total is at most {ORDER_MAX_TOTAL_MINOR} minor units.",
            {"total_minor": str(total), "limit_minor": ORDER_MAX_TOTAL_MINOR},
        )
    if short:
        return insufficient_stock(short)
    if command.order_id in shop.orders:
        raise ValueError("an order is placed once: its id is taken")
    return (OrderPlaced(command.order_id, command.customer_id, currencies.pop(), total, tuple(lines)),)


@decides(CancelOrder)
def _cancel(shop: Shop, command: CancelOrder, who: Who) -> Decision:
    order = shop.orders.get(command.order_id)
    if order is None or not (who.staff or order.customer_id == who.principal):
        # The same answer for both: whether another customer's order exists is not for this one to learn.
        return Rejection("order_not_found", "There is no such order.", {"order_id": str(command.order_id)})
    if order.status != PLACED:
        return Rejection(
            "order_state_conflict",
            f"Only a placed order can be cancelled; this one is {order.status}.",
            {"order_id": str(command.order_id), "order_status": order.status},
        )
    return (OrderCancelled(order.order_id, order.customer_id, order.lines),)


@evolves(OrderPlaced)
def _placed(shop: Shop, event: OrderPlaced) -> None:
    shop.orders[event.order_id] = Order(
        event.order_id, event.customer_id, PLACED, event.currency, event.total_minor, event.lines
    )
    for line in event.lines:
        move_reserved(shop, line.sku, line.quantity)


@evolves(OrderCancelled)
def _cancelled(shop: Shop, event: OrderCancelled) -> None:
    if order := shop.orders.get(event.order_id):
        shop.orders[event.order_id] = msgspec.structs.replace(order, status=CANCELLED)
    for line in event.lines:
        move_reserved(shop, line.sku, -line.quantity)
