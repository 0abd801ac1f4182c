"""Taxes that somebody else computes. A provider is asked about what a basket's parts cost after discounts, by a task;
its answer is kept with the digest of the question, and counts for as long as the same question would be asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from domain.quote.places import Place
from domain.quote.terms.taxes import Taxing
from domain.quote.worksheet import Part, Worksheet

_DIGEST_BYTES: Final = 16


class TaxedPart(msgspec.Struct, frozen=True, gc=False):
    """A line, or the delivery (without a SKU), and what all of it costs after its discounts."""

    sku: str | None
    tax_class: str
    quantity: int
    amount_minor: int


class TaxQuestion(msgspec.Struct, frozen=True, gc=False):
    """What a provider is asked: the taxes of these parts, for this place and buyer. `included`: the amounts contain
    them. Gift cards are parts of no tax class: they are taxed when they buy something."""

    provider: str
    currency: str
    to: Place
    included: bool
    tax_id: str | None
    tax_exempt: bool
    parts: tuple[TaxedPart, ...]

    def digest(self) -> str:
        """The same for the same question, and for no other."""
        return blake2b(msgspec.json.encode(self), digest_size=_DIGEST_BYTES).hexdigest()


def question(sheet: Worksheet, parts: Sequence[Part], taxing: Taxing) -> TaxQuestion:
    """What the provider has to be asked about the parts."""
    assert taxing.provider is not None, "the shop's own rates ask nobody"
    basket = sheet.basket
    asked = tuple(
        TaxedPart(
            None if part.offer is None else part.offer.sku,
            "" if part.offer is not None and part.offer.gift_card else part.tax_class,
            part.quantity,
            part.left_minor,
        )
        for part in parts
    )
    included = taxing.policy.included
    return TaxQuestion(
        taxing.provider, basket.currency, taxing.place, included, basket.tax_id, basket.tax_exempt, asked
    )


def put_estimate(sheet: Worksheet, parts: Sequence[Part], taxing: Taxing) -> bool:
    """Puts the provider's taxes on the parts, if the basket has its answer to this question, and one that can be true:
    no tax is negative, and none is more than the amount that contains it."""
    estimate = sheet.basket.tax_estimate
    if estimate is None or estimate.digest != question(sheet, parts, taxing).digest():
        return False
    if len(estimate.taxes) != len(parts):
        return False
    for part, taxes in zip(parts, estimate.taxes, strict=True):
        amounts = [tax.amount_minor for tax in taxes]
        if min(amounts, default=0) < 0 or (taxing.policy.included and sum(amounts) > part.left_minor):
            return False
    for part, taxes in zip(parts, estimate.taxes, strict=True):
        part.taxes = taxes
        part.tax_minor = sum(tax.amount_minor for tax in taxes)
    return True
