"""The interface of tax providers: what the shop asks of them, and what it reports. Only tasks call them, so a slow or
unavailable provider delays only the checkouts that wait for their taxes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from domain.quote.basket import TaxAnswer, TaxQuestion
from domain.quote.places import Place
from domain.quote.quoted import TaxLine, TaxTotal


class SoldPart(msgspec.Struct, frozen=True):
    """A line of an order, or its delivery (without a SKU): its net and its taxes, in minor units."""

    sku: str | None
    quantity: int
    net_minor: int
    taxes: tuple[TaxLine, ...]


class Sale(msgspec.Struct, frozen=True):
    """An order whose taxes the provider computed. `sold_at` is when it was placed: the tax date, also of later refunds.
    The place and the tax id are None after the buyer's data was erased."""

    order_id: UUID
    number: str | None
    sold_at: datetime
    currency: str
    total_minor: int
    included: bool
    parts: tuple[SoldPart, ...]
    to: Place | None = None
    tax_id: str | None = None
    tax_exempt: bool = False


class TaxRefund(msgspec.Struct, frozen=True):
    """What a credit note refunds of an order: an amount of its total, and the part of each tax in it (or on it)."""

    number: str | None
    refunded_at: datetime
    amount_minor: int
    taxes: tuple[TaxTotal, ...]


class TaxProvider(Protocol):
    """One provider. Calls about the same order are sequential, others concurrent. Each may be repeated, with the same
    idempotency key, after its answer was lost. Each raises Refused or OutcomeUnknown (see `runtime/outside.py`)."""

    @property
    def name(self) -> str:
        """Its name in settings, quotes and events."""

    async def estimate(self, question: TaxQuestion, key: str) -> TaxAnswer:
        """The taxes of each part, in the order of the parts. Nothing is sold yet, and the provider need not record it.
        An implausible answer (see `domain/quote/estimates.py`) counts as a failure. If it is Refused, the buyer is told
        to check the address."""

    async def commit(self, sale: Sale, key: str) -> None:
        """The order is confirmed: its taxes are owed."""

    async def void(self, sale: Sale, key: str) -> None:
        """The order was cancelled before all of it was charged: its taxes are not owed."""

    async def refund(self, sale: Sale, refund: TaxRefund, key: str) -> None:
        """Part of the order was refunded: its part of the taxes, by the rates on the day of the sale, is not owed."""
