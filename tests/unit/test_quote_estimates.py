"""Taxes that a provider computes: its answer counts for its question, and for no other."""

from uuid import UUID

import msgspec
import pytest

from domain.limits import PART_MAX_TAXES
from domain.quote.actions.amounts import Percent
from domain.quote.basket import Basket, TaxAnswer, TaxEstimate
from domain.quote.estimates import untrue
from domain.quote.fallback import answer_by_own_rates
from domain.quote.places import Area, Place
from domain.quote.quoted import EXEMPT, STANDARD, Quote, TaxLine
from domain.quote.quoting import quote, tax_question
from domain.quote.terms import Terms
from domain.quote.terms.deliveries import Method, Rate
from domain.quote.terms.taxes import BY_LINE, BY_ORDER, Taxes, TaxPolicy, TaxRate
from tests.quotes import AT, OFFERS, basket, check, promotion

POST = Method(UUID(int=50), "Post", rates=(Rate("GBP", 499),))
AUSTIN = Place("US", "TX", "78701")
WANTED = basket(MUG=1, CARD=1, to=AUSTIN, method_id=POST.id)


def shop(*, included: bool = False, percent_bp: int = 1_000) -> Terms:
    return Terms(
        promotions=(promotion(1, Percent(percent_bp=percent_bp)),),
        taxes=Taxes("US", policy=TaxPolicy(included)),
        tax_provider="taxes-are-us",
        methods=(POST,),
    )


def answered(wanted: Basket, terms: Terms, *amounts: int) -> Basket:
    """The basket with the provider's answer: an amount for each part, or none for 0."""
    asked = tax_question(wanted, OFFERS, terms, AT)
    assert asked is not None
    lines = tuple((TaxLine("TX", "US", 825, STANDARD, amount),) if amount else () for amount in amounts)
    return msgspec.structs.replace(wanted, tax_estimate=TaxEstimate(asked, TaxAnswer(lines)))


def quoted(wanted: Basket, terms: Terms) -> Quote:
    found = quote(wanted, OFFERS, terms, AT)
    check(found)
    return found


def test_a_provider_is_asked_about_what_is_paid() -> None:
    asked = tax_question(WANTED, OFFERS, shop(), AT)
    assert asked is not None
    assert (asked.provider, asked.currency, asked.to, asked.included) == ("taxes-are-us", "GBP", AUSTIN, False)
    assert [(part.sku, part.tax_class, part.quantity, part.amount_minor) for part in asked.parts] == [
        ("MUG", "standard", 1, 900),
        ("CARD", "", 1, 5_000),
        (None, "standard", 1, 499),
    ]
    assert tax_question(WANTED, OFFERS, Terms(), AT) is None
    assert tax_question(WANTED, OFFERS, Terms(taxes=Taxes("US")), AT) is None


def test_until_it_answers_nothing_can_be_ordered() -> None:
    found = quoted(WANTED, shop())
    assert ([lack.code for lack in found.requirements], found.taxes) == (["taxes_pending"], ())


def test_its_answer_is_what_is_charged() -> None:
    found = quoted(answered(WANTED, shop(), 74, 0, 41), shop())
    assert (found.requirements, found.total_minor) == ((), 900 + 5_000 + 499 + 74 + 41)
    assert [(tax.name, tax.net_minor, tax.amount_minor) for tax in found.taxes] == [("TX", 1_399, 115)]
    contained = quoted(answered(WANTED, shop(included=True), 69, 0, 38), shop(included=True))
    assert (contained.total_minor, contained.lines[0].net_minor) == (6_399, 831)


def test_an_answer_may_say_why_there_is_no_tax() -> None:
    asked = tax_question(WANTED, OFFERS, shop(), AT)
    assert asked is not None
    none = (TaxLine("", "US", 0, EXEMPT, 0),)
    found = quoted(msgspec.structs.replace(WANTED, tax_estimate=TaxEstimate(asked, TaxAnswer((none,) * 3))), shop())
    assert (found.tax_minor, found.requirements, found.taxes[0].reason) == (0, (), EXEMPT)


@pytest.mark.parametrize(
    "changed",
    [
        {"to": Place("US", "TX", "78702")},
        {"tax_exempt": True},
        {"tax_id": "1"},
        {"method_id": None},
        {"lines": basket(MUG=2, CARD=1).lines},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_an_answer_to_another_question_does_not_count(changed: dict[str, object]) -> None:
    old = answered(WANTED, shop(), 74, 0, 41)
    found = quoted(msgspec.structs.replace(old, **changed), shop())
    assert "taxes_pending" in {lack.code for lack in found.requirements}
    assert found.tax_minor == 0


def test_an_answer_does_not_outlive_a_price() -> None:
    old = answered(WANTED, shop(), 74, 0, 41)
    assert [lack.code for lack in quoted(old, shop(percent_bp=2_000)).requirements] == ["taxes_pending"]


def test_a_tax_that_is_named_twice_has_one_net() -> None:
    district = TaxLine("CITY", "US", 50, STANDARD, 5)
    asked = tax_question(WANTED, OFFERS, shop(), AT)
    assert asked is not None
    answer = TaxAnswer(((district, district), (), ()))
    found = quoted(msgspec.structs.replace(WANTED, tax_estimate=TaxEstimate(asked, answer)), shop())
    assert [(tax.net_minor, tax.amount_minor) for tax in found.taxes] == [(900, 10)]


def test_an_answer_with_more_taxes_than_a_part_may_have_is_untrue() -> None:
    """The log could not carry it."""
    asked = tax_question(WANTED, OFFERS, shop(), AT)
    assert asked is not None
    tax = TaxLine("TX", "US", 825, STANDARD, 1)
    assert untrue(asked, TaxAnswer(((tax,) * PART_MAX_TAXES, (), ()))) is None
    assert untrue(asked, TaxAnswer(((tax,) * (PART_MAX_TAXES + 1), (), ()))) == "part 0 has 21 taxes"


def test_a_gift_card_is_not_taxed() -> None:
    """It is taxed when it buys something."""
    found = quoted(answered(WANTED, shop(), 74, 5, 41), shop())
    assert [lack.code for lack in found.requirements] == ["taxes_pending"]


@pytest.mark.parametrize("amounts", [(74, 0), (-1, 0, 41), (901, 0, 41)])
def test_an_answer_that_cannot_be_true_does_not_count(amounts: tuple[int, ...]) -> None:
    terms = shop(included=True)
    assert [lack.code for lack in quoted(answered(WANTED, terms, *amounts), terms).requirements] == ["taxes_pending"]


@pytest.mark.parametrize("rounding", [BY_LINE, BY_ORDER])
@pytest.mark.parametrize("included", [True, False])
def test_the_shop_s_own_rates_answer_what_the_shop_itself_would_charge(included: bool, rounding: str) -> None:
    rates = (TaxRate("Sales tax", Area("US"), "standard", 625), TaxRate("Texas", Area("US", "TX"), "standard", 200))
    taxes = Taxes("US", rates, TaxPolicy(included, rounding))
    asking = msgspec.structs.replace(shop(), taxes=taxes)
    own = msgspec.structs.replace(asking, tax_provider=None)
    asked = tax_question(WANTED, OFFERS, asking, AT)
    assert asked is not None
    answer = answer_by_own_rates(asked, taxes, AT)
    assert answer is not None
    assert (answer.by_shop, untrue(asked, answer)) == (True, None)
    found = quoted(msgspec.structs.replace(WANTED, tax_estimate=TaxEstimate(asked, answer)), asking)
    assert found == quoted(WANTED, own)
    assert (found.tax_provider, found.tax_minor > 0) == (None, True)


def test_the_shop_s_own_rates_answer_only_what_they_know_and_as_it_was_asked() -> None:
    rate = TaxRate("Sales tax", Area("US"), "standard", 625)
    asked = tax_question(WANTED, OFFERS, shop(), AT)
    assert asked is not None
    for taxes in (Taxes("US"), Taxes("US", (TaxRate("VAT", Area("GB"), "standard", 2_000),))):
        assert answer_by_own_rates(asked, taxes, AT) is None
    assert answer_by_own_rates(asked, Taxes("US", (rate,), TaxPolicy(included=True)), AT) is None
    exempt = answer_by_own_rates(msgspec.structs.replace(asked, tax_exempt=True), Taxes("US", (rate,)), AT)
    assert exempt is not None
    assert [[(tax.reason, tax.amount_minor) for tax in taxes] for taxes in exempt.taxes] == [
        [(EXEMPT, 0)],
        [],
        [(EXEMPT, 0)],
    ]


def test_an_answer_of_the_shop_counts_for_its_question_only() -> None:
    taxes = Taxes("US", (TaxRate("Sales tax", Area("US"), "standard", 625),), TaxPolicy())
    terms = msgspec.structs.replace(shop(), taxes=taxes)
    asked = tax_question(WANTED, OFFERS, terms, AT)
    assert asked is not None
    estimate = TaxEstimate(asked, answer_by_own_rates(asked, taxes, AT))
    other = quoted(basket(MUG=2, to=AUSTIN, method_id=POST.id, tax_estimate=estimate), terms)
    assert ([lack.code for lack in other.requirements], other.tax_provider) == (["taxes_pending"], "taxes-are-us")
