"""The quote: what a basket costs, and why. Pure: the gateway shows it, and the batch that places the order computes the
same one again.

Prices, promotions on lines, on the order, by code, the delivery, promotions on it, taxes, and cards that pay: in this
order, each on what the one before left (docs/money.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from domain.limits import ORDER_MAX_TOTAL_MINOR
from domain.model import Offer
from domain.quote.basket import Basket, RateQuestion, TaxQuestion
from domain.quote.estimates import question
from domain.quote.goods import Goods, supplied_at
from domain.quote.paying import pay
from domain.quote.quoted import PaidByCard, Quote, QuotedDelivery, QuotedLine, Remark, Take
from domain.quote.taxing import tax_totals
from domain.quote.terms import Terms
from domain.quote.terms.deliveries import Method, choose, chosen
from domain.quote.terms.limits import allowance, exceeded
from domain.quote.terms.taxes import BY_LINE
from domain.quote.worksheet import Part, Worksheet

TOTAL_EXCEEDED: Final = "order_total_exceeded"

_NO_LINES: Final = Remark("/lines", "lines_required", "The basket is empty.")
_TOO_MUCH: Final = Remark(
    "/lines", TOTAL_EXCEEDED, f"An order's total may be at most {ORDER_MAX_TOTAL_MINOR} minor units."
)


def quote(basket: Basket, offers: Mapping[str, Offer], terms: Terms, at: datetime, *, explain: bool = False) -> Quote:
    """The quote of the basket at this moment. `offers` has those of its SKUs and of the terms' gifts, as far as they
    exist. SKUs that cannot be priced become requirements instead of lines. With `explain`, the remarks say why each
    other promotion does not apply."""
    goods, method, requirements, takes = _worked(basket, offers, terms, at, explain=explain)
    return _summed(goods, method, requirements, goods.remarks, takes)


def tax_question(basket: Basket, offers: Mapping[str, Offer], terms: Terms, at: datetime) -> TaxQuestion | None:
    """The question to the tax provider before the basket can be quoted; None if the shop has no provider."""
    if terms.taxes is None or terms.tax_provider is None:
        return None
    goods, *_ = _worked(basket, offers, terms, at, explain=False)
    return None if goods.taxing is None else question(goods.sheet, goods.sheet.parts(), goods.taxing)


def rate_question(basket: Basket, offers: Mapping[str, Offer], terms: Terms, at: datetime) -> RateQuestion | None:
    """What a delivery provider has to be asked before the basket can be sent by any live method; None if by none."""
    if terms.delivery_provider is None or not any(method.is_asked for method in terms.methods):
        return None
    return Goods(basket, offers, terms, at, basket.to).rate_question()


def _worked(
    basket: Basket, offers: Mapping[str, Offer], terms: Terms, at: datetime, *, explain: bool
) -> tuple[Goods, Method | None, list[Remark], list[Take]]:
    """The goods and their delivery, before taxes and cards; the method, the requirements and the takes."""
    way = chosen(basket, terms.methods)
    goods = Goods(basket, offers, terms, at, supplied_at(basket, way, terms), explain=explain)
    live, taxed = goods.rates_for(way), goods.taxing is not None
    method, delivery, lacks = choose(goods.sheet, basket.to, terms.methods, live, taxed=taxed)
    goods.deliver(delivery)
    takes = goods.takes
    if terms.purchase_limits:
        lacks += _allowances(goods.sheet, terms, offers, takes)
    return goods, method, goods.requirements + lacks, takes


def _allowances(sheet: Worksheet, terms: Terms, offers: Mapping[str, Offer], takes: list[Take]) -> list[Remark]:
    """Adds what the basket takes from its buyer's allowances, and returns a remark on each that it exceeds."""
    basket = sheet.basket
    remarks = []
    for limit in terms.purchase_limits:
        taken = allowance(limit, basket.lines, offers, basket.identities, sheet.at)
        if exceeded(taken, basket.taken) is not None:
            left = max(0, min(limit.most - basket.taken.get(take.key, 0) for take in taken))
            message = f"At most {limit.most} of these per buyer."
            remarks.append(Remark("/lines", "purchase_limit", message, quantity=left))
        takes += (take for take in taken if take.key)
    return remarks


def _summed(
    goods: Goods, method: Method | None, requirements: list[Remark], remarks: list[Remark], takes: list[Take]
) -> Quote:
    """The quote from the worksheet."""
    if (lacking := goods.tax()) is not None:
        requirements.append(lacking)
    sheet, taxing, included = goods.sheet, goods.taxing, goods.tax_included
    estimate = sheet.basket.tax_estimate
    by_shop = taxing is None or (lacking is None and estimate is not None and estimate.by_shop)
    subtotal_minor = left_minor = tax_minor = 0
    lines = []
    for part in sheet.lines:
        amount_minor = part.quantity * part.unit_minor
        subtotal_minor += amount_minor
        left_minor += part.left_minor
        tax_minor += part.tax_minor
        lines.append(_line(part, amount_minor, included=included))
    before_minor, delivery_minor, delivery = subtotal_minor, 0, None
    if sheet.delivery is not None and method is not None:
        delivery_minor = sheet.delivery.unit_minor
        before_minor += delivery_minor
        left_minor += sheet.delivery.left_minor
        tax_minor += sheet.delivery.tax_minor
        delivery = delivery_of(sheet.delivery, method, included=included)
    added_minor = 0 if included else tax_minor
    total_minor = left_minor + added_minor
    if not sheet.basket.lines:
        requirements.append(_NO_LINES)
    if total_minor > ORDER_MAX_TOTAL_MINOR:
        requirements.append(_TOO_MUCH)
    cards: tuple[PaidByCard, ...] = ()
    if sheet.basket.cards:
        cards, unusable = pay(sheet, total_minor)
        remarks += unusable
    return Quote(
        sheet.basket.currency,
        tuple(lines),
        subtotal_minor,
        before_minor - left_minor,
        delivery_minor,
        tax_minor,
        added_minor,
        total_minor,
        total_minor - sum(card.amount_minor for card in cards),
        delivery,
        () if taxing is None else tax_totals(sheet.parts(), included=included),
        included,
        BY_LINE if taxing is None else taxing.policy.rounding,
        cards,
        tuple(requirements),
        tuple(remarks),
        tuple(takes),
        None if taxing is None or by_shop else taxing.provider,
    )


def _line(part: Part, amount_minor: int, *, included: bool) -> QuotedLine:
    assert part.offer is not None, "only deliveries are of no offer"
    return QuotedLine(
        part.offer.sku,
        part.quantity,
        part.unit_minor,
        amount_minor,
        part.left_minor - part.tax_minor if included else part.left_minor,
        part.tax_minor,
        part.discounts,
        part.taxes,
        part.price_list_id,
        part.own_minor,
        part.relieved_minor,
        part.gift,
    )


def delivery_of(part: Part, method: Method, *, included: bool) -> QuotedDelivery:
    """The delivery of a quote, from the worksheet."""
    return QuotedDelivery(
        method.id,
        method.name,
        method.kind,
        part.unit_minor,
        part.left_minor - part.tax_minor if included else part.left_minor,
        part.tax_minor,
        part.discounts,
        part.taxes,
        part.relieved_minor,
    )
