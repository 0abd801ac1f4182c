"""What the shop asks of a provider of taxes, and what it tells it. Only tasks call it, so it may take its time or be
away: a checkout waits for its taxes, and nothing else does.
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
    """An order that the provider computed the taxes of. `sold_at` is when it was placed: the date of its taxes,
    whenever something is refunded. The place and the tax id are None once the buyer's data was erased."""

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
    """What a credit note takes back of an order: so much of its total, and the part of each tax in it (or on it)."""

    number: str | None
    refunded_at: datetime
    amount_minor: int
    taxes: tuple[TaxTotal, ...]


class TaxProvider(Protocol):
    """One provider. Calls about one order come one after the other, others side by side. Each may be repeated, with the
    same key, after its answer was lost. Each raises Refused or OutcomeUnknown (see `runtime/outside.py`)."""

    @property
    def name(self) -> str:
        """What it is called in settings, quotes and events."""

    async def estimate(self, question: TaxQuestion, key: str) -> TaxAnswer:
        """The taxes of each part, in the order of the parts. Nothing is sold yet, and nothing is kept of it. An answer
        that cannot be true (see `domain/quote/estimates.py`) counts as a failure. If it is Refused, the buyer is told
        to check the address."""

    async def commit(self, sale: Sale, key: str) -> None:
        """The order is confirmed: its taxes are owed."""

    async def void(self, sale: Sale, key: str) -> None:
        """The order was cancelled before all of it was charged: its taxes are not owed."""

    async def refund(self, sale: Sale, refund: TaxRefund, key: str) -> None:
        """Something was given back: so much of the taxes, by the rates of the day of the sale, is not owed."""
