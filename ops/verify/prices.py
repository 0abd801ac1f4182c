"""What everything was sold for, at each place in the log: no order was placed at another price than the catalogue's at
that moment, and none for what was not on sale.

It also follows when something known was last sold otherwise than before, which is what `event_counter.prices_seq` says
to the batches.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
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
    """The prices of one part of the SKUs, as the log goes on. One entry a SKU is in memory, however long the log is."""

    def __init__(self, report: Report, part: Part) -> None:
        self._report = report
        self._part = part
        self._variants: dict[UUID, dict[str, bool]] = defaultdict(dict)
        self._offers: dict[str, _Offer] = {}
        self._batch_at: datetime | None = None
        self._batch_seq = 0
        self._before_batch: dict[str, _Offer] = {}
        self._moved_seq = 0

    def follow(self, seq: int, at: datetime, event: Event) -> None:
        """Takes the log's next event. Events of one batch have one time."""
        if at != self._batch_at:
            self._end_batch()
            self._batch_at = at
        self._batch_seq = seq
        if isinstance(event, OrderPlaced):
            self._check(seq, event)
        elif isinstance(event, ProductChanged):
            active = event.status == ACTIVE
            for sku, variant_active in self._variants.get(event.product_id, {}).items():
                self._offer(sku, msgspec.structs.replace(self._offers[sku], on_sale=active and variant_active))
        elif isinstance(event, (VariantAdded, VariantChanged)) and event.sku in self._part:
            self._variants[event.product_id][event.sku] = event.active
            on_sale = event.active and event.product_status == ACTIVE
            self._offer(event.sku, _Offer(event.price_minor, event.currency, on_sale))

    def moved_seq(self) -> int:
        """At the log's end: where something known was last sold otherwise than before."""
        self._end_batch()
        return self._moved_seq

    def _offer(self, sku: str, offer: _Offer) -> None:
        if (before := self._offers.get(sku)) is not None:
            self._before_batch.setdefault(sku, before)
        self._offers[sku] = offer

    def _end_batch(self) -> None:
        """A price that is back where it was when its batch ends was never another to anybody else."""
        if any(self._offers[sku] != before for sku, before in self._before_batch.items()):
            self._moved_seq = self._batch_seq
        self._before_batch.clear()

    def _check(self, seq: int, order: OrderPlaced) -> None:
        offers, currency = self._offers, order.currency
        for line in order.lines:
            offer = offers.get(line.sku)
            # None: of a catalogue from before the log told of it, or of another part
            if offer is None or (
                offer.on_sale and line.unit_price_minor == offer.price_minor and currency == offer.currency
            ):
                continue
            if (line.unit_price_minor, currency) != (offer.price_minor, offer.currency):
                self._report.differ(
                    "prices",
                    str(order.order_id),
                    "was placed at another price than the catalogue's",
                    seq=seq,
                    sku=line.sku,
                    order=[line.unit_price_minor, order.currency],
                    catalogue=[offer.price_minor, offer.currency],
                )
            if not offer.on_sale:
                self._report.differ(
                    "prices", str(order.order_id), "was placed for what was not on sale", seq=seq, sku=line.sku
                )
