"""The prices at each place in the log: every order was placed at the catalogue's price of that moment, and only for
what was on sale.
"""

from __future__ import annotations

from collections import defaultdict
from uuid import UUID

import msgspec

from domain.catalogue import ACTIVE, ProductChanged, VariantAdded, VariantChanged
from domain.model import Event
from domain.orders import OrderPlaced
from ops.verify.parts import Part
from ops.verify.report import Report


class _Offer(msgspec.Struct, frozen=True, gc=False):
    """Minor units a piece, their currency, and whether it can be ordered."""

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

    def follow(self, seq: int, event: Event) -> None:
        """Takes the log's next event."""
        if isinstance(event, OrderPlaced):
            self._check(seq, event)
        elif isinstance(event, ProductChanged):
            active = event.status == ACTIVE
            for sku, variant_active in self._variants.get(event.product_id, {}).items():
                self._offers[sku] = msgspec.structs.replace(self._offers[sku], on_sale=active and variant_active)
        elif isinstance(event, (VariantAdded, VariantChanged)) and event.sku in self._part:
            self._variants[event.product_id][event.sku] = event.active
            on_sale = event.active and event.product_status == ACTIVE
            self._offers[event.sku] = _Offer(event.price_minor, event.currency, on_sale)

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
