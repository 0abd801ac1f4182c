"""Stock: what is on hand, what of it is reserved, and how goods come in or are corrected."""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Final

import msgspec

from domain.ids import slot_of_key
from domain.limits import MOVEMENT_MAX_QUANTITY, STOCK_MAX_ON_HAND
from domain.model import Command, Context, Decision, Event, Line, Rejection, Shop, Stock, decides, evolves


class ReceiveStock(Command, frozen=True):
    """Goods came in: `quantity` pieces (1..MOVEMENT_MAX_QUANTITY) more on hand."""

    sku: str
    quantity: Annotated[int, msgspec.Meta(ge=1, le=MOVEMENT_MAX_QUANTITY)]
    reference: str | None = None

    def slot(self) -> int:
        return slot_of_key(self.sku)


class AdjustStock(Command, frozen=True):
    """A correction after counting, breakage or theft: `change` pieces, positive or negative, never 0."""

    sku: str
    change: Annotated[int, msgspec.Meta(ge=-MOVEMENT_MAX_QUANTITY, le=MOVEMENT_MAX_QUANTITY)]
    reason: str

    def __post_init__(self) -> None:
        if self.change == 0:
            raise ValueError("a correction cannot be 0")

    def slot(self) -> int:
        return slot_of_key(self.sku)


class SetStock(Command, frozen=True):
    """`on_hand` pieces were counted on the shelf. Nothing changes if that is what is on record."""

    sku: str
    on_hand: Annotated[int, msgspec.Meta(ge=0, le=STOCK_MAX_ON_HAND)]

    def slot(self) -> int:
        return slot_of_key(self.sku)


class StockReceived(Event, frozen=True):
    type: ClassVar[str] = "stock.received"
    sku: str
    quantity: int
    reference: str | None = None

    def subject(self) -> str:
        return self.sku


class StockAdjusted(Event, frozen=True):
    type: ClassVar[str] = "stock.adjusted"
    sku: str
    change: int
    reason: str

    def subject(self) -> str:
        return self.sku


class StockUnchanged(Event, frozen=True):
    """The count matched what is on record."""

    type: ClassVar[str] = "stock.unchanged"
    sku: str

    def subject(self) -> str:
        return self.sku


def unknown_sku(skus: list[str]) -> Rejection:
    """The rejection of a command that names SKUs missing from the catalogue."""
    return Rejection("unknown_sku", "The catalogue has no such SKU.", {"skus": skus})


NOTHING: Final = Stock()
"""The stock of a SKU that was never received."""

INSUFFICIENT_STOCK: Final = "insufficient_stock"

COUNTED: Final = "counted"
"""The reason of the correction that brings a shelf to what was counted on it."""


def insufficient_stock(short: list[dict[str, Any]]) -> Rejection:
    """The rejection of a command that needs more than is available; `short` says by SKU what fell short."""
    return Rejection(
        INSUFFICIENT_STOCK,
        "Not enough is available.",
        {"lines": short},
        {line["sku"]: line["requested"] for line in short},
    )


def moved(shop: Shop, sku: str, change: int) -> Rejection | None:
    """Why `change` pieces cannot be added to what is on hand, if so."""
    if sku not in shop.offers:
        return unknown_sku([sku])
    stock = shop.stock.get(sku, NOTHING)
    if stock.on_hand + change > STOCK_MAX_ON_HAND:
        return Rejection(
            "stock_limit_exceeded",
            f"A SKU holds at most {STOCK_MAX_ON_HAND} pieces.",
            {"sku": sku, "on_hand": stock.on_hand, "limit": STOCK_MAX_ON_HAND},
        )
    if stock.available + change < 0:
        return insufficient_stock([{"sku": sku, "requested": -change, "available": stock.available}])
    return None


@decides(ReceiveStock)
def _receive(shop: Shop, command: ReceiveStock, context: Context) -> Decision:
    return moved(shop, command.sku, command.quantity) or (
        StockReceived(command.sku, command.quantity, command.reference),
    )


@decides(AdjustStock)
def _adjust(shop: Shop, command: AdjustStock, context: Context) -> Decision:
    return moved(shop, command.sku, command.change) or (StockAdjusted(command.sku, command.change, command.reason),)


@decides(SetStock)
def _set(shop: Shop, command: SetStock, context: Context) -> Decision:
    change = command.on_hand - shop.stock.get(command.sku, NOTHING).on_hand
    if (refused := moved(shop, command.sku, change)) is not None:
        return refused
    return (StockAdjusted(command.sku, change, COUNTED) if change else StockUnchanged(command.sku),)


def move_on_hand(shop: Shop, sku: str, change: int) -> None:
    """Adds `change` pieces to what is on hand."""
    stock = shop.stock.get(sku, NOTHING)
    shop.stock[sku] = Stock(stock.on_hand + change, stock.reserved)


def move_lines(shop: Shop, lines: Iterable[Line], *, on_hand: int, reserved: int) -> None:
    """Adds each line's pieces so many times (-1, 0 or 1) to what is on hand of it, and to what is reserved."""
    stock = shop.stock
    for line in lines:
        sku, quantity = line.sku, line.quantity
        was = stock.get(sku, NOTHING)
        stock[sku] = Stock(was.on_hand + on_hand * quantity, was.reserved + reserved * quantity)


@evolves(StockReceived)
def _received(shop: Shop, event: StockReceived) -> None:
    move_on_hand(shop, event.sku, event.quantity)


@evolves(StockAdjusted)
def _adjusted(shop: Shop, event: StockAdjusted) -> None:
    move_on_hand(shop, event.sku, event.change)


@evolves(StockUnchanged)
def _unchanged(shop: Shop, event: StockUnchanged) -> None:
    pass
