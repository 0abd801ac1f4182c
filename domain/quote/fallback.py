"""The shop's own rates in the place of a tax provider that is away: what they make of the very question that it does
not answer. They answer only for places whose country they name, since to take it for tax-free would be a guess.
"""

from __future__ import annotations

from datetime import datetime

from domain.quote.basket import Basket, TaxAnswer, TaxQuestion
from domain.quote.taxing import tax
from domain.quote.terms.taxes import Taxes, Taxing
from domain.quote.worksheet import Part


def answer_by_own_rates(asked: TaxQuestion, taxes: Taxes, at: datetime) -> TaxAnswer | None:
    """What the rates say at a moment; None if they name no rate of the country, or the shop has changed since whether
    its prices contain their taxes. What a buyer who is exempt, or owes the tax themselves, pays is the price as it was
    asked about: nothing is taken out of it."""
    if all(rate.area.country != asked.to.country for rate in taxes.rates):
        return None
    buyer = Basket(asked.currency, (), to=asked.to, tax_id=asked.tax_id, tax_exempt=asked.tax_exempt)
    taxing = Taxing(taxes, buyer, at)
    if taxing.policy.included != asked.included:
        return None
    parts = [Part(None, each.quantity, 0, each.amount_minor, each.tax_class) for each in asked.parts]
    tax([part for part in parts if part.tax_class], taxing)
    return TaxAnswer(tuple(part.taxes for part in parts), by_shop=True)
