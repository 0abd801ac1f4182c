"""A small shop for tests of quotes: what it sells, where it is, and short ways to say who wants what."""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from domain.model import Offer, Price, Wanted
from domain.quote.actions import AnyAction
from domain.quote.basket import Basket
from domain.quote.places import Place
from domain.quote.quoted import Quote
from domain.quote.quoting import quote
from domain.quote.rules import AnyRule
from domain.quote.terms import Terms
from domain.quote.terms.promotions import Code, Promotion

AT: Final = datetime(2026, 11, 27, 12, tzinfo=UTC)
LONDON: Final = Place("GB", "LND", "SW1A1AA")

KITCHEN, CUPS, BOOKS, CARDS = (UUID(int=number) for number in range(100, 104))
CROCKERY: Final = UUID(int=200)

OFFERS: Final = {
    offer.sku: offer
    for offer in (
        Offer(
            "MUG",
            1_000,
            "GBP",
            prices=(Price("EUR", 1_200), Price("JPY", 180), Price("KWD", 3_500)),
            product_id=CROCKERY,
            category_ids=(KITCHEN, CUPS),
            weight_grams=350,
        ),
        Offer("CUP", 333, "GBP", product_id=CROCKERY, category_ids=(KITCHEN, CUPS), weight_grams=200),
        Offer("PAN", 4_999, "GBP", category_ids=(KITCHEN,), weight_grams=1_400),
        Offer("BOOK", 1_250, "GBP", category_ids=(BOOKS,), tax_class="books", weight_grams=500),
        Offer("EBOOK", 700, "GBP", category_ids=(BOOKS,), tax_class="books", digital=True),
        Offer("CARD", 5_000, "GBP", category_ids=(CARDS,), gift_card=True),
        Offer("TOY", 400, "GBP", weight_grams=100),
    )
}


def basket(currency: str = "GBP", /, *, to: Place | None = None, **rest: Any) -> Basket:
    """A basket; names in capitals are SKUs with their quantities, the others are the basket's own fields."""
    lines = tuple(Wanted(sku, quantity) for sku, quantity in rest.items() if sku.isupper())
    return Basket(currency, lines, to=to, **{name: value for name, value in rest.items() if not name.isupper()})


def promotion(number: int, action: AnyAction, *rules: AnyRule, **rest: Any) -> Promotion:
    """A promotion with an id of this number."""
    return Promotion(UUID(int=number), 10 * number, f"Promotion {number}", action, rules, **rest)


def code(promotion: Promotion, text: str = "SAVE", **rest: Any) -> dict[str, Code]:
    """A code for a promotion, as terms have it."""
    return {text: Code(UUID(int=promotion.id.int + 1_000), text, promotion.id, **rest)}


def quoted(wanted: Basket, terms: Terms | None = None, **rest: Any) -> Quote:
    """What it costs at AT, checked for what must hold of every quote."""
    found = quote(wanted, OFFERS, Terms() if terms is None else terms, rest.pop("at", AT), **rest)
    check(found)
    return found


def promoted(wanted: Basket, *promotions: Promotion, **rest: Any) -> Quote:
    """The quote with these promotions, and why any of them do not apply."""
    return quoted(wanted, Terms(promotions=promotions, **rest), explain=True)


def check(found: Quote) -> None:
    """What must hold of every quote."""
    parts = [*found.lines, *(() if found.delivery is None else (found.delivery,))]
    assert found.subtotal_minor == sum(line.quantity * line.unit_price_minor for line in found.lines)
    assert found.delivery_minor == (0 if found.delivery is None else found.delivery.amount_minor)
    assert found.discount_minor == sum(part.discount_minor for part in parts)
    assert found.tax_minor == sum(part.tax_minor for part in parts)
    assert found.added_tax_minor == (0 if found.tax_included else found.tax_minor)
    assert found.total_minor == (
        found.subtotal_minor + found.delivery_minor + found.added_tax_minor - found.discount_minor
    )
    assert found.total_minor == sum(part.gross_minor for part in parts)
    assert found.due_minor == found.total_minor - sum(card.amount_minor for card in found.cards)
    assert found.due_minor >= 0
    for part in parts:
        assert min(part.amount_minor, part.net_minor, part.tax_minor, part.discount_minor) >= 0
        assert part.amount_minor - part.discount_minor == part.net_minor + part.tax_minor * found.tax_included
        assert part.tax_minor == sum(tax.amount_minor for tax in part.taxes)
        assert all(0 <= discount.amount_minor <= discount.weight_minor for discount in part.discounts)
    by_tax = {
        (tax.name, tax.country, tax.rate_bp, tax.reason): (tax.net_minor, tax.amount_minor) for tax in found.taxes
    }
    assert len(by_tax) == len(found.taxes)
    of_parts: dict[tuple[str, str, int, str], tuple[int, int]] = {}
    for part in parts:
        keys = [(tax.name, tax.country, tax.rate_bp, tax.reason) for tax in part.taxes]
        for key in set(keys):
            net, amount = of_parts.get(key, (0, 0))
            added = sum(tax.amount_minor for tax, one in zip(part.taxes, keys, strict=True) if one == key)
            of_parts[key] = (net + part.net_minor, amount + added)
    assert by_tax == of_parts
