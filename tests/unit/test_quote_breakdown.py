"""What a total consists of, in the words below the lines of mails and invoices."""

from uuid import UUID

import pytest

from domain.quote.actions.amounts import Percent
from domain.quote.basket import Card
from domain.quote.breakdown import breakdown, rate_in_words
from domain.quote.places import Area
from domain.quote.quoted import TaxTotal
from domain.quote.terms import Terms
from domain.quote.terms.deliveries import Method, Rate
from domain.quote.terms.taxes import Taxes, TaxPolicy, TaxRate
from tests.quotes import LONDON, basket, promotion, quoted

_METHOD = UUID(int=9)


def _terms(*, included: bool) -> Terms:
    return Terms(
        promotions=(promotion(1, Percent(percent_bp=1_000, target="order")),),
        taxes=Taxes("GB", (TaxRate("VAT", Area("GB"), "standard", 2_000),), TaxPolicy(included=included)),
        methods=(Method(_METHOD, "Post", areas=(Area("GB"),), rates=(Rate("GBP", 500),)),),
    )


@pytest.mark.parametrize("included", [True, False])
def test_the_sums_above_the_total_make_it_and_those_below_do_not(included: bool) -> None:
    quote = quoted(
        basket(to=LONDON, MUG=2, method_id=_METHOD, cards=(Card(UUID(int=5), "GBP", 300, shown="**42"),)),
        _terms(included=included),
    )
    sums = breakdown(quote, quote.total_minor)
    place = [each.kind for each in sums].index("total")
    assert sum(each.amount_minor for each in sums[:place]) == sums[place].amount_minor == quote.total_minor
    assert ("tax" in [each.kind for each in sums[:place]]) is not included
    assert ("included_tax" in [each.kind for each in sums[place:]]) is included
    assert [(each.kind, each.amount_minor) for each in sums[-2:]] == [
        ("paid_by_card", -300),
        ("due", quote.total_minor - 300),
    ]


def test_an_order_without_a_quote_has_its_total() -> None:
    assert [(each.kind, each.amount_minor) for each in breakdown(None, 42)] == [("total", 42)]


@pytest.mark.parametrize(
    ("rate_bp", "reason", "said"),
    [
        (2_000, "standard", "VAT 20 %"),
        (550, "standard", "VAT 5.5 %"),
        (875, "standard", "VAT 8.75 %"),
        (0, "zero", "VAT 0 %"),
        (0, "export", "VAT 0 % (export)"),
        (0, "reverse_charge", "VAT 0 % (reverse charge)"),
    ],
)
def test_a_tax_says_its_rate_and_why_it_is_nothing(rate_bp: int, reason: str, said: str) -> None:
    assert rate_in_words(TaxTotal("VAT", "GB", rate_bp, reason, 100, 0)) == said


def test_a_rate_finer_than_basis_points_is_written_whole() -> None:
    assert rate_in_words(TaxTotal("QST", "CA", 997, "standard", 100, 10, 50)) == "QST 9.975 %"
    assert rate_in_words(TaxTotal("Tax", "US", 0, "standard", 100, 10, 1)) == "Tax 0.0001 %"
