"""Checks prices: every order was placed at the price that the catalogue or a price list had at that point of the log,
and only for SKUs that were on sale.
"""

from __future__ import annotations

from collections import defaultdict
from uuid import UUID

import msgspec

from domain.catalogue import ACTIVE, ProductChanged, Variant, VariantAdded, VariantChanged
from domain.checkouts import CheckoutCompleted
from domain.model import Entity, Event, Price
from domain.orders import OrderPlaced
from domain.quote.quoted import QuotedLine
from domain.sku_prices import PricesPut, SkuPrices, with_prices
from runtime.proof.parts import Part
from runtime.proof.report import Report


class _Offer(msgspec.Struct, frozen=True, gc=False):
    """The price of a piece in minor units, its currency, and whether it can be ordered."""

    price_minor: int
    currency: str
    on_sale: bool


class Prices:
    """The prices of one part of the SKUs, as the log is read. One entry per SKU is in memory, however long the log
    is."""

    def __init__(self, report: Report, part: Part) -> None:
        self._report = report
        self._part = part
        self._variants: dict[UUID, dict[str, bool]] = defaultdict(dict)
        self._offers: dict[str, _Offer] = {}
        self._prices: dict[str, tuple[Price, ...]] = {}

    def begin(self, known: Entity) -> None:
        """Starts with an entity that was folded earlier, if it determines prices: a variant, or a SKU's other
        prices."""
        if isinstance(known, Variant) and known.sku in self._part:
            self._variants[known.product_id][known.sku] = known.active
            self._offers[known.sku] = _Offer(known.price_minor, known.currency, known.on_sale)
        elif isinstance(known, SkuPrices) and known.sku in self._part:
            self._prices[known.sku] = known.prices

    def follow(self, seq: int, event: Event) -> None:
        """Takes the log's next event."""
        if isinstance(event, OrderPlaced):
            if event.checkout_id is None:  # otherwise its quote has the prices, and follows in the next event
                self._check(seq, event)
        elif isinstance(event, CheckoutCompleted):
            self._check_quote(seq, event)
        elif isinstance(event, ProductChanged):
            active = event.status == ACTIVE
            for sku, variant_active in self._variants.get(event.product_id, {}).items():
                self._offers[sku] = msgspec.structs.replace(self._offers[sku], on_sale=active and variant_active)
        elif isinstance(event, (VariantAdded, VariantChanged)) and event.sku in self._part:
            self._variants[event.product_id][event.sku] = event.active
            on_sale = event.active and event.product_status == ACTIVE
            self._offers[event.sku] = _Offer(event.price_minor, event.currency, on_sale)
        elif isinstance(event, PricesPut) and event.sku in self._part:
            self._prices[event.sku] = with_prices(self._prices.get(event.sku, ()), event)

    def _check(self, seq: int, order: OrderPlaced) -> None:
        offers, currency = self._offers, order.currency
        for line in order.lines:
            offer = offers.get(line.sku)
            # None: from a catalogue older than its events in the log, or in another part
            if offer is None or (
                offer.on_sale and line.unit_price_minor == offer.price_minor and currency == offer.currency
            ):
                continue
            if (line.unit_price_minor, currency) != (offer.price_minor, offer.currency):
                self._report.differ(
                    "prices",
                    str(order.order_id),
                    "was placed at a price other than the catalogue's",
                    seq=seq,
                    sku=line.sku,
                    order=[line.unit_price_minor, order.currency],
                    catalogue=[offer.price_minor, offer.currency],
                )
            if not offer.on_sale:
                self._report.differ(
                    "prices", str(order.order_id), "was placed for what was not on sale", seq=seq, sku=line.sku
                )

    def _check_quote(self, seq: int, completed: CheckoutCompleted) -> None:
        """Checks that the SKU's own price is the catalogue's, and that a line costs that, or the price on the list that
        it names, less any tax that the buyer is exempt from."""
        order_id, currency = str(completed.order_id), completed.quote.currency
        for line in completed.quote.lines:
            offer = self._offers.get(line.sku)
            if offer is None:
                continue
            if not offer.on_sale:
                self._report.differ("prices", order_id, "was placed for what was not on sale", seq=seq, sku=line.sku)
            own = self._own_price(offer, line.sku, currency)
            paid = line.unit_price_minor + line.relieved_minor
            possible = {own} if line.price_list_id is None else self._listed_prices(line, currency)
            if line.own_price_minor != own or paid not in possible:
                self._report.differ(
                    "prices",
                    order_id,
                    "was placed at a price other than the catalogue's",
                    seq=seq,
                    sku=line.sku,
                    order=[paid, currency],
                    catalogue=[offer.price_minor, offer.currency],
                )

    def _own_price(self, offer: _Offer, sku: str, currency: str) -> int | None:
        if offer.currency == currency:
            return offer.price_minor
        own = [each for each in self._prices.get(sku, ()) if each.price_list_id is None and each.currency == currency]
        return own[0].price_minor if own else None

    def _listed_prices(self, line: QuotedLine, currency: str) -> set[int | None]:
        """The prices that the line's price list allows for its quantity."""
        return {
            each.price_minor
            for each in self._prices.get(line.sku, ())
            if (each.price_list_id, each.currency) == (line.price_list_id, currency)
            and each.min_quantity <= line.quantity
        }
