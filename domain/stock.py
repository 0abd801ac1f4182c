"""Stock: what is on hand, how much of it is reserved, and how goods are received and counts corrected."""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Final

import msgspec

from domain.ids import slot_of_key
from domain.ledgers import Ledger, Move
from domain.limits import MOVEMENT_MAX_QUANTITY, STOCK_MAX_ON_HAND
from domain.model import Command, Context, Decision, Event, Line, Rejection, Shop, decides, evolves

STOCK: Final = Ledger("stock")
"""Pieces of a SKU: posted is what is on hand, pending is how much of that is reserved for orders."""


class ReceiveStock(Command, frozen=True):
    """Receives goods: `quantity` more pieces (1..MOVEMENT_MAX_QUANTITY) are on hand."""

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

    def moves(self) -> Iterable[Move]:
        return ((STOCK, self.sku, self.quantity, 0),)


class StockAdjusted(Event, frozen=True):
    type: ClassVar[str] = "stock.adjusted"
    sku: str
    change: int
    reason: str

    def subject(self) -> str:
        return self.sku

    def moves(self) -> Iterable[Move]:
        return ((STOCK, self.sku, self.change, 0),)


class StockUnchanged(Event, frozen=True):
    """The count matched what is on record."""

    type: ClassVar[str] = "stock.unchanged"
    sku: str

    def subject(self) -> str:
        return self.sku


def reserves(lines: Iterable[Line]) -> Iterable[Move]:
    """The moves that promise each line's pieces to an order."""
    return [(STOCK, line.sku, 0, line.quantity) for line in lines]


def releases(lines: Iterable[Line]) -> Iterable[Move]:
    """The moves that make each line's reserved pieces available again."""
    return [(STOCK, line.sku, 0, -line.quantity) for line in lines]


def sells(lines: Iterable[Line]) -> Iterable[Move]:
    """The moves that take each line's reserved pieces away."""
    return [(STOCK, line.sku, -line.quantity, -line.quantity) for line in lines]


def returns(lines: Iterable[Line]) -> Iterable[Move]:
    """The moves that put sold pieces back into stock."""
    return [(STOCK, line.sku, line.quantity, 0) for line in lines]


def unknown_sku(skus: list[str]) -> Rejection:
    """The rejection of a command that names SKUs missing from the catalogue."""
    return Rejection("unknown_sku", "The catalogue has no such SKU.", {"skus": skus})


INSUFFICIENT_STOCK: Final = "insufficient_stock"

COUNTED: Final = "counted"
"""The reason given for a correction that sets the stock to what was counted."""


def insufficient_stock(short: list[dict[str, Any]]) -> Rejection:
    """The rejection of a command that needs more than is available; `short` says for which SKUs, and by how much."""
    return Rejection(
        INSUFFICIENT_STOCK,
        "Not enough is available.",
        {"lines": short},
        {(STOCK, line["sku"]): line["requested"] for line in short},
    )


def moved(shop: Shop, sku: str, change: int) -> Rejection | None:
    """Why `change` pieces cannot be added to what is on hand; None if they can."""
    if sku not in shop.offers:
        return unknown_sku([sku])
    stock = shop.balance(STOCK, sku)
    if stock.posted + change > STOCK_MAX_ON_HAND:
        return Rejection(
            "stock_limit_exceeded",
            f"A SKU holds at most {STOCK_MAX_ON_HAND} pieces.",
            {"sku": sku, "on_hand": stock.posted, "limit": STOCK_MAX_ON_HAND},
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
    change = command.on_hand - shop.balance(STOCK, command.sku).posted
    if (refused := moved(shop, command.sku, change)) is not None:
        return refused
    return (StockAdjusted(command.sku, change, COUNTED) if change else StockUnchanged(command.sku),)


@evolves(StockReceived)
@evolves(StockAdjusted)
@evolves(StockUnchanged)
def _moved(shop: Shop, event: StockReceived | StockAdjusted | StockUnchanged) -> None:
    """The event has no effects besides its moves."""
