"""The shop's own rates as the fallback for an unavailable tax provider: they answer the same question. They answer only
for countries that they name, since taking any other for tax-free would be a guess.
"""

from __future__ import annotations

from datetime import datetime

from domain.quote.basket import Basket, TaxAnswer, TaxQuestion
from domain.quote.periods import in_period
from domain.quote.taxing import tax
from domain.quote.terms.taxes import Taxes, Taxing
from domain.quote.worksheet import Part


def answer_by_own_rates(asked: TaxQuestion, taxes: Taxes, at: datetime) -> TaxAnswer | None:
    """The answer by the rates at a moment; None if none for the country is in force, or if the shop has since changed
    whether its prices include taxes. A buyer who is exempt, or owes the tax themselves, pays the price in the question:
    no tax is taken out of it."""
    ours = (rate for rate in taxes.rates if rate.area.country == asked.to.country)
    if not any(in_period(at, rate.starts_at, rate.ends_at) for rate in ours):
        return None
    buyer = Basket(asked.currency, (), to=asked.to, tax_id=asked.tax_id, tax_exempt=asked.tax_exempt)
    taxing = Taxing(taxes, buyer, at)
    if taxing.policy.included != asked.included:
        return None
    parts = [Part(None, each.quantity, 0, each.amount_minor, each.tax_class) for each in asked.parts]
    tax([part for part in parts if part.tax_class], taxing)
    return TaxAnswer(tuple(part.taxes for part in parts), by_shop=True)
