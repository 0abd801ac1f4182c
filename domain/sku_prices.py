"""The prices of a SKU besides the variant's own: on price lists, and its own in other currencies. A SKU's prices on one
list are replaced as a whole. They belong to the mailbox of the product, and have a guard, so that a checkout is always
completed at the prices that are current at its place in the log.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final
from uuid import UUID

import msgspec

from domain.catalogue import Variant
from domain.fields.catalogue import SKU
from domain.ids import slot_of_id
from domain.limits import LINE_MAX_QUANTITY, PRICE_MAX_MINOR, SKU_MAX_PRICES
from domain.model import Command, Context, Decision, Entity, Event, Price, Rejection, Shop, decides, evolves
from domain.money import CURRENCIES
from domain.terms import PRICE_LIST, TermsPart, part_name

_NO_LIST: Final = UUID(int=0)
"""A placeholder id that sorts a SKU's own prices before those of its lists."""


class SkuPrices(Entity, frozen=True):
    """All prices of a SKU except the variant's own, sorted by list, currency and quantity."""

    sku: str
    product_id: UUID
    prices: tuple[Price, ...]

    def slot(self) -> int:
        return slot_of_id(self.product_id)


class PutPrices(Command, frozen=True):
    """Replaces the prices of a SKU on a price list, or, without one, its own prices in currencies other than the
    variant's. No prices remove it from the list. With `adds`, the list's prices in other currencies and for other
    quantities stay."""

    product_id: UUID
    sku: str
    price_list_id: UUID | None
    prices: Annotated[tuple[Price, ...], msgspec.Meta(max_length=SKU_MAX_PRICES)]
    adds: bool = False

    def __post_init__(self) -> None:
        if not SKU.keeps(self.sku):
            raise ValueError(f"{self.sku!r} is not a SKU")
        if len({(price.currency, price.min_quantity) for price in self.prices}) != len(self.prices):
            raise ValueError("there is one price for a currency and a quantity")
        for price in self.prices:
            if price.price_list_id != self.price_list_id:
                raise ValueError("all prices are on the same list")
            if price.currency not in CURRENCIES:
                raise ValueError(f"{price.currency!r} is not a currency")
            if not 0 <= price.price_minor <= PRICE_MAX_MINOR or not 1 <= price.min_quantity <= LINE_MAX_QUANTITY:
                raise ValueError("a price or a quantity is out of bounds")
            if self.price_list_id is None and price.min_quantity != 1:
                raise ValueError("only price lists know quantities")

    def slot(self) -> int:
        return slot_of_id(self.product_id)


class PricesPut(Event, frozen=True):
    """What the SKU costs on the list now, or of itself without a list; none if it is on the list no longer."""

    type: ClassVar[str] = "price.put"
    sku: str
    product_id: UUID
    price_list_id: UUID | None
    prices: tuple[Price, ...]

    def subject(self) -> str:
        return self.sku


class PricesUnchanged(Event, frozen=True):
    """The SKU costs the same as before."""

    type: ClassVar[str] = "price.unchanged"
    sku: str
    product_id: UUID

    def subject(self) -> str:
        return self.sku


@decides(PutPrices)
def _put(shop: Shop, command: PutPrices, context: Context) -> Decision:
    variant = shop.of(Variant).get(command.sku)
    if variant is None or variant.product_id != command.product_id:
        return Rejection("variant_not_found", "The product has no such variant.", {"sku": command.sku})
    if command.prices and command.price_list_id is not None and not _is_stated(shop, command.price_list_id):
        about = {"price_list_id": str(command.price_list_id)}
        return Rejection("price_list_not_found", "There is no such price list.", about)
    known = shop.of(SkuPrices).get(command.sku)
    before = () if known is None else known.prices
    of_list = tuple(price for price in before if price.price_list_id == command.price_list_id)
    prices = _in_order((*_others(of_list, command.prices), *command.prices) if command.adds else command.prices)
    if prices == of_list:
        return (PricesUnchanged(command.sku, command.product_id),)
    if len(_with(before, command.price_list_id, prices)) > SKU_MAX_PRICES:
        detail = f"A SKU has at most {SKU_MAX_PRICES} prices besides its own."
        return Rejection("too_many_prices", detail, {"limit": SKU_MAX_PRICES})
    return (PricesPut(command.sku, command.product_id, command.price_list_id, prices),)


@evolves(PricesPut)
def _changed(shop: Shop, event: PricesPut) -> None:
    known = shop.of(SkuPrices).get(event.sku)
    before = () if known is None else known.prices
    prices = with_prices(before, event)
    shop.of(SkuPrices)[event.sku] = SkuPrices(event.sku, event.product_id, prices)
    if (offer := shop.offers.get(event.sku)) is not None:
        shop.offers[event.sku] = msgspec.structs.replace(offer, prices=prices)


@evolves(PricesUnchanged)
def _unchanged(shop: Shop, event: PricesUnchanged) -> None:
    """The prices stay as they are."""


def _is_stated(shop: Shop, price_list_id: UUID) -> bool:
    part = shop.of(TermsPart).get(part_name(PRICE_LIST, price_list_id))
    return part is not None and part.price_list is not None


def with_prices(before: tuple[Price, ...], event: PricesPut) -> tuple[Price, ...]:
    """All prices of a SKU after the event, given those before it."""
    return _with(before, event.price_list_id, event.prices)


def _with(before: tuple[Price, ...], price_list_id: UUID | None, prices: tuple[Price, ...]) -> tuple[Price, ...]:
    """All prices, with these replacing those of the list."""
    return _in_order((*(price for price in before if price.price_list_id != price_list_id), *prices))


def _others(of_list: tuple[Price, ...], prices: tuple[Price, ...]) -> Iterator[Price]:
    """The list's prices in other currencies and for other quantities than these."""
    said = {(price.currency, price.min_quantity) for price in prices}
    return (price for price in of_list if (price.currency, price.min_quantity) not in said)


def _in_order(prices: tuple[Price, ...]) -> tuple[Price, ...]:
    return tuple(sorted(prices, key=lambda each: (each.price_list_id or _NO_LIST, each.currency, each.min_quantity)))
