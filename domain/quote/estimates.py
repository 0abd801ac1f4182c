"""Taxes computed by a provider. A task asks it about the prices of a basket's parts after discounts; the answer is kept
with its question, and counts for as long as the basket leads to the same question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from domain.limits import ORDER_MAX_TOTAL_MINOR, PART_MAX_TAXES
from domain.quote.basket import TaxAnswer, TaxedPart, TaxQuestion
from domain.quote.bounds import BasisPoints, BeyondBasisPoints, Country, Name
from domain.quote.quoted import TAX_REASONS, Remark, TaxLine
from domain.quote.terms.taxes import Taxing
from domain.quote.worksheet import Part, Worksheet

TAXES_PENDING: Final = "taxes_pending"
TAXES_REFUSED: Final = "taxes_refused"

_PENDING: Final = Remark("/taxes", TAXES_PENDING, "The taxes are not known yet.")
_REFUSED: Final = Remark("/address", TAXES_REFUSED, "The taxes cannot be computed: check the address.")


def question(sheet: Worksheet, parts: Sequence[Part], taxing: Taxing) -> TaxQuestion:
    """The question to the provider about the parts."""
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


def put_estimate(sheet: Worksheet, parts: Sequence[Part], taxing: Taxing) -> Remark | None:
    """Puts the provider's taxes on the parts, if the basket has its answer to this very question and the answer is
    plausible. Returns what is missing otherwise."""
    estimate = sheet.basket.tax_estimate
    if estimate is None or estimate.answer is None or estimate.question != question(sheet, parts, taxing):
        return _PENDING
    if estimate.answer.refused:
        return _REFUSED
    if untrue(estimate.question, estimate.answer) is not None:
        return _PENDING
    for part, taxes in zip(parts, estimate.answer.taxes, strict=True):
        part.taxes = taxes
        part.tax_minor = sum(tax.amount_minor for tax in taxes)
    return None


class _Bounded(msgspec.Struct):
    """A tax within its bounds; without a name, the name is empty."""

    name: Name
    country: Country
    rate_bp: BasisPoints
    extra_ppm: BeyondBasisPoints


def untrue(asked: TaxQuestion, answer: TaxAnswer) -> str | None:
    """Why this cannot be the answer to the question; None if it can. No tax is negative, and none is more than the
    amount that contains it."""
    if answer.refused:
        return None
    if len(answer.taxes) != len(asked.parts):
        return f"it has taxes for {len(answer.taxes)} parts of {len(asked.parts)}"
    for place, (part, taxes) in enumerate(zip(asked.parts, answer.taxes, strict=True)):
        if len(taxes) > PART_MAX_TAXES:
            return f"part {place} has {len(taxes)} taxes"
        for tax in taxes:
            if (wrong := _out_of_bounds(tax)) is not None:
                return f"a tax of part {place} {wrong}"
        sum_minor = sum(tax.amount_minor for tax in taxes)
        if sum_minor > (part.amount_minor if asked.included else ORDER_MAX_TOTAL_MINOR):
            return f"part {place} has a tax of {sum_minor}, on {part.amount_minor}"
        if sum_minor and not part.tax_class:
            return f"part {place} is a gift card, and has a tax of {sum_minor}"
    return None


def _out_of_bounds(tax: TaxLine) -> str | None:
    if tax.amount_minor < 0:
        return "is negative"
    if tax.reason not in TAX_REASONS:
        return "has no reason that is known"
    try:
        msgspec.convert({**msgspec.structs.asdict(tax), "name": tax.name or "-"}, type=_Bounded)
    except msgspec.ValidationError as error:
        return f"is out of bounds: {error}"
    return None
