"""Placing an order, at the catalogue's prices or at a quote.

A quick order is placed by one command, for programs that need no delivery. If the shop's terms concern goods, it costs
the same as a checkout of the same lines without address, codes and cards, computed by the same function. Otherwise it
costs what the catalogue says, and needs no quote.
"""

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import msgspec

from domain.allowances import adjustments
from domain.checkouts import OPEN, Checkout, CheckoutLine, CheckoutPlaced
from domain.ledgers import EMPTY
from domain.limits import AVAILABLE_SHOWN_MAX, ORDER_MAX_TOTAL_MINOR
from domain.model import Context, Decision, Line, Personal, Rejection, Shop, decides
from domain.orders import OrderPlaced, PlaceOrder, is_guest
from domain.quote.quoted import Quote
from domain.quote.quoting import TOTAL_EXCEEDED
from domain.quote.terms import Terms
from domain.quote.terms.limits import identities
from domain.quoting import quote_of
from domain.stock import STOCK, insufficient_stock, unknown_sku
from domain.terms import terms_of

_INCOMPLETE: Final = "checkout_incomplete"


@decides(PlaceOrder)
def _place(shop: Shop, command: PlaceOrder, context: Context) -> Decision:
    offers, stock = shop.offers, shop.balances_of(STOCK)
    lines, total, currencies, unknown, unsold, short = [], 0, set(), [], [], []
    if len(command.lines) > 1 and len({wanted.sku for wanted in command.lines}) != len(command.lines):
        raise ValueError("a SKU appears once in an order: sum its quantities first")
    for wanted in command.lines:
        offer = offers.get(wanted.sku)
        if offer is None:
            unknown.append(wanted.sku)
            continue
        if not offer.on_sale:
            unsold.append(wanted.sku)
            continue
        quantity, available = wanted.quantity, stock.get(wanted.sku, EMPTY).available
        if quantity > available:
            short.append(_lacking(wanted.sku, quantity, available, context))
        lines.append(Line(wanted.sku, quantity, offer.price_minor))
        total += quantity * offer.price_minor
        currencies.add(offer.currency)
    if unknown:
        return unknown_sku(unknown)
    if unsold:
        return Rejection("not_on_sale", "Something in the order is not for sale.", {"skus": unsold})
    if len(currencies) != 1:
        return Rejection(
            "mixed_currencies", "All lines of an order must have the same currency.", {"currencies": sorted(currencies)}
        )
    if command.order_id in shop.orders:
        raise ValueError("an order is placed once: its id is taken")
    if shop.of(Terms) and terms_of(shop).concern_goods:
        return _quoted(shop, command, context)
    if total > ORDER_MAX_TOTAL_MINOR:
        return _too_much(total)
    if short:
        return insufficient_stock(short)
    return (OrderPlaced(command.order_id, command.customer_id, currencies.pop(), total, tuple(lines), command.email),)


def buyer_of(command: PlaceOrder) -> tuple[str, ...]:
    """The identities under which the buyer's limits are counted: at least the account, whatever the sender has
    named."""
    if command.identities or is_guest(command.customer_id):
        return command.identities
    return identities(command.customer_id, None, b"")


def _quoted(shop: Shop, command: PlaceOrder, context: Context) -> Decision:
    """Decides a quick order on a quote that leaves out delivery."""
    asked = Checkout(
        command.order_id,
        command.customer_id,
        OPEN,
        currency=None,
        lines=tuple(CheckoutLine(wanted.sku, wanted.quantity) for wanted in command.lines),
        email=command.email,
        address=None,
        billing_address=None,
        method_id=None,
        codes=(),
        note=None,
        order_id=None,
        quote=None,
        version=0,
    )
    quote = quote_of(shop, asked, context.at, buyer_of(command), delivers=False)
    if any(lack.code == TOTAL_EXCEEDED for lack in quote.requirements):
        return _too_much(quote.total_minor)
    if quote.requirements:
        return incomplete(quote, "The order cannot be placed as it is.")
    placed = order_at(quote, command.order_id, command.customer_id, command.email, command.order_id)
    if short := short_of(shop, placed.lines, context):
        return insufficient_stock(short)
    return (placed, CheckoutPlaced(placed.order_id, placed.customer_id, placed.order_id, *facts_of(shop, quote)))


def _too_much(total_minor: int) -> Rejection:
    return Rejection(
        TOTAL_EXCEEDED,
        f"An order's total may be at most {ORDER_MAX_TOTAL_MINOR} minor units.",
        {"total_minor": str(total_minor), "limit_minor": ORDER_MAX_TOTAL_MINOR},
    )


def incomplete(quote: Quote, detail: str) -> Rejection:
    """The rejection of a quote that is not complete enough to become an order."""
    return Rejection(
        _INCOMPLETE, detail, {"requirements": [msgspec.to_builtins(lacking) for lacking in quote.requirements]}
    )


def order_at(quote: Quote, order_id: UUID, customer_id: str, email: Personal | None, checkout_id: UUID) -> OrderPlaced:
    """The event that places an order at a quote; the checkout keeps the quote."""
    lines = tuple(Line(line.sku, line.quantity, line.unit_price_minor) for line in quote.lines)
    charges_minor = quote.total_minor - sum(line.quantity * line.unit_price_minor for line in lines)
    return OrderPlaced(
        order_id, customer_id, quote.currency, quote.total_minor, lines, email, charges_minor, checkout_id
    )


def facts_of(shop: Shop, quote: Quote) -> tuple[Quote, dict[str, int]]:
    """The part of a quote that is kept with its order, and the adjustments of limits that have changed since something
    was last taken from them."""
    return msgspec.structs.replace(quote, remarks=()), adjustments(shop, quote.takes)


def short_of(shop: Shop, lines: Iterable[Line], context: Context) -> list[dict[str, Any]]:
    """The SKUs without enough stock for these lines, as `insufficient_stock` takes them. A SKU may be in several lines,
    if a promotion gives away what is also bought."""
    wanted: dict[str, int] = {}
    for line in lines:
        wanted[line.sku] = wanted.get(line.sku, 0) + line.quantity
    return [
        _lacking(sku, quantity, available, context)
        for sku, quantity in wanted.items()
        if quantity > (available := shop.balance(STOCK, sku).available)
    ]


def _lacking(sku: str, quantity: int, available: int, context: Context) -> dict[str, Any]:
    shown = available if context.actor.is_staff else min(available, AVAILABLE_SHOWN_MAX)
    return {"sku": sku, "requested": quantity, "available": shown}
