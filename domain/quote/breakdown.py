"""The breakdown of an order's total, as it is shown below the lines in a mail or on an invoice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from domain.quote.basket import GIFT_CARD
from domain.quote.quoted import EXEMPT, EXPORT, REVERSE_CHARGE, Discount, Quote, QuotedDelivery, QuotedLine, TaxTotal
from domain.quote.terms.taxes import in_ppm

Kind = Literal["subtotal", "discount", "delivery", "tax", "total", "included_tax", "paid_by_card", "due"]


class Sum(msgspec.Struct, frozen=True, gc=False):
    """One of the sums below the lines, in words and in minor units. Discounts and what cards pay are negative.
    Subtotal, discounts, delivery and taxes make the total; included taxes are in it already; less what cards pay, it is
    due."""

    kind: Kind
    label: str
    amount_minor: int


_PPM_OF_PERCENT: Final = 10_000
_REASONS: Final = {EXEMPT: "exempt", REVERSE_CHARGE: "reverse charge", EXPORT: "export"}


def breakdown(quote: Quote | None, total_minor: int) -> tuple[Sum, ...]:
    """The sums of an order with this quote; without one, its total is that of its lines."""
    return (Sum("total", "Total", total_minor),) if quote is None else tuple(_sums(quote))


def rate_in_words(tax: TaxTotal) -> str:
    """The tax with its rate, and, if a rate of 0 needs explaining, the reason: `VAT 20 %`, `VAT 0 % (export)`."""
    whole, rest = divmod(in_ppm(tax.rate_bp, tax.extra_ppm), _PPM_OF_PERCENT)
    rate = f"{whole}.{rest:04}".rstrip("0") if rest else str(whole)
    why = f" ({_REASONS[tax.reason]})" if tax.reason in _REASONS else ""
    return f"{tax.name} {rate} %{why}"


def _sums(quote: Quote) -> Iterator[Sum]:
    yield Sum("subtotal", "Subtotal", quote.subtotal_minor)
    for label, amount_minor in _discounts(quote).items():
        yield Sum("discount", label, -amount_minor)
    if quote.delivery is not None:
        yield Sum("delivery", f"Delivery: {quote.delivery.name}", quote.delivery_minor)
    if not quote.tax_included:
        yield from (Sum("tax", rate_in_words(tax), tax.amount_minor) for tax in quote.taxes)
    yield Sum("total", "Total", quote.total_minor)
    if quote.tax_included:
        yield from (Sum("included_tax", f"of which {rate_in_words(tax)}", tax.amount_minor) for tax in quote.taxes)
    for card in quote.cards:
        kind = "Gift card" if card.kind == GIFT_CARD else "Store credit"
        yield Sum("paid_by_card", f"{kind} {card.shown}".rstrip(), -card.amount_minor)
    if quote.cards:
        yield Sum("due", "Left to pay", quote.due_minor)


def _discounts(quote: Quote) -> dict[str, int]:
    """What each promotion takes off in all."""
    parts: list[QuotedLine | QuotedDelivery] = [*quote.lines, *([] if quote.delivery is None else [quote.delivery])]
    found: dict[str, int] = {}
    for discount in (each for part in parts for each in part.discounts):
        label = _named(discount)
        found[label] = found.get(label, 0) + discount.amount_minor
    return {label: amount_minor for label, amount_minor in found.items() if amount_minor}


def _named(discount: Discount) -> str:
    return discount.name if discount.code is None else f"{discount.name} ({discount.code})"
