"""Which taxes a basket pays, how they are rounded, and why some pay none."""

from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from domain.quote.actions.amounts import Fixed
from domain.quote.actions.core import ORDER
from domain.quote.basket import Basket
from domain.quote.places import Area, Place, PostalCodes
from domain.quote.quoted import EXEMPT, EXPORT, REVERSE_CHARGE, STANDARD, ZERO, Quote
from domain.quote.terms import Terms
from domain.quote.terms.deliveries import Method, Rate
from domain.quote.terms.promotions import Promotion
from domain.quote.terms.taxes import BY_LINE, BY_ORDER, Taxes, TaxPolicy, TaxRate
from tests.quotes import AT, LONDON, basket, promotion, quoted

INCLUDED, ADDED = TaxPolicy(included=True), TaxPolicy()
RATES = (
    TaxRate("VAT", Area("GB"), "standard", 2_000),
    TaxRate("VAT", Area("GB"), "books", 0, ZERO),
    TaxRate("VAT", Area("DE"), "standard", 1_900),
    TaxRate("GST", Area("CA"), "standard", 500),
    TaxRate("PST", Area("CA", "BC"), "standard", 700),
)


def taxed(wanted: Basket, policy: TaxPolicy, *promotions: Promotion, rates: tuple[TaxRate, ...] = RATES) -> Quote:
    taxes = Taxes("GB", rates, policy, union=frozenset({"GB", "DE"}))
    return quoted(wanted, Terms(promotions=promotions, taxes=taxes))


def lines(found: Quote) -> list[tuple[int, int, int]]:
    """Net, tax and gross of each line."""
    return [(line.net_minor, line.tax_minor, line.gross_minor) for line in found.lines]


def reasons(found: Quote) -> list[list[tuple[int, str]]]:
    return [[(tax.rate_bp, tax.reason) for tax in line.taxes] for line in found.lines]


def test_a_price_contains_its_tax_or_it_comes_on_top() -> None:
    assert lines(taxed(basket(MUG=1, to=LONDON), INCLUDED)) == [(833, 167, 1_000)]  # 166.67
    assert lines(taxed(basket(MUG=1, to=LONDON), ADDED)) == [(1_000, 200, 1_200)]


def test_tax_is_on_the_line_and_not_on_the_piece() -> None:
    assert lines(taxed(basket(CUP=10, to=LONDON), INCLUDED)) == [(2_775, 555, 3_330)]
    assert lines(taxed(basket(CUP=7, to=LONDON), ADDED)) == [(2_331, 466, 2_797)]  # 466.2, and not 7 times 67


def test_tax_is_on_what_is_paid_after_discounts() -> None:
    off = promotion(1, Fixed(amounts_minor={"GBP": 100}, target=ORDER))
    assert lines(taxed(basket(MUG=1, to=LONDON), INCLUDED, off)) == [(750, 150, 900)]
    assert lines(taxed(basket(MUG=1, to=LONDON), ADDED, off)) == [(900, 180, 1_080)]


def test_what_is_rounded_for_each_line_or_once_for_the_order() -> None:
    wanted = basket(CUP=1, TOY=1, to=LONDON)
    each = (TaxRate("VAT", Area("GB"), "standard", 550),)
    assert lines(taxed(wanted, TaxPolicy(), rates=each)) == [(333, 18, 351), (400, 22, 422)]  # 18.315 and 22
    seven = (TaxRate("VAT", Area("GB"), "standard", 138),)
    by_line = taxed(wanted, TaxPolicy(), rates=seven)  # 4.5954 and 5.52
    by_order = taxed(wanted, TaxPolicy(rounding=BY_ORDER), rates=seven)  # 10.1154
    assert [line.tax_minor for line in by_line.lines] == [5, 6]
    assert [line.tax_minor for line in by_order.lines] == [5, 5]
    assert (by_line.tax_rounding, by_order.tax_rounding) == ("line", "order")


def test_by_order_equal_rates_are_rounded_together_including_the_delivery_s() -> None:
    post = Method(UUID(int=50), "Post", rates=(Rate("GBP", 333),))
    taxes = Taxes("GB", (TaxRate("VAT", Area("GB"), "standard", 2_000),), TaxPolicy(True, BY_ORDER))
    found = quoted(basket(CUP=1, TOY=1, BOOK=1, to=LONDON, method_id=post.id), Terms(taxes=taxes, methods=(post,)))
    assert found.delivery is not None
    assert [line.tax_minor for line in found.lines] + [found.delivery.tax_minor] == [56, 67, 0, 55]  # 177.67 in all
    assert [(tax.rate_bp, tax.amount_minor) for tax in found.taxes] == [(2_000, 178), (0, 0)]


def test_taxes_of_different_names_are_charged_together() -> None:
    vancouver = Place.of("ca", "CA-BC", "V5K 0A1")
    found = taxed(basket(MUG=1, to=vancouver), ADDED)
    assert [(tax.name, tax.amount_minor) for tax in found.taxes] == [("GST", 50), ("PST", 70)]
    contained = taxed(basket(MUG=1, to=vancouver), INCLUDED)
    assert [(tax.name, tax.amount_minor) for tax in contained.taxes] == [("GST", 45), ("PST", 62)]  # 107.14 in all
    assert [tax.name for tax in taxed(basket(MUG=1, to=Place("CA", "AB")), ADDED).taxes] == ["GST"]


def test_the_most_precise_rate_counts() -> None:
    rates = (
        TaxRate("VAT", Area("ES", "GC"), "standard", 700),
        TaxRate("VAT", Area("ES"), "standard", 2_100),
        TaxRate("VAT", Area("ES", postal_codes=PostalCodes("3500", "3599")), "standard", 650),
        TaxRate("VAT", Area("ES", postal_codes=PostalCodes("35100", "35199")), "standard", 600),
    )
    for given in (rates, rates[::-1]):
        for to, rate_bp in (
            (Place("ES", "MD", "28001"), 2_100),
            (Place("ES", "GC", "38001"), 700),
            (Place("ES", "GC", "35001"), 650),
            (Place("ES", "", "35150"), 600),
        ):
            assert reasons(taxed(basket(MUG=1, to=to), ADDED, rates=given)) == [[(rate_bp, STANDARD)]]


@pytest.mark.parametrize(("hours", "rate_bp"), [(-1, 2_400), (0, 2_550), (1, 2_550)])
def test_a_rate_is_valid_from_a_moment_on(hours: int, rate_bp: int) -> None:
    changed_at = AT - timedelta(hours=hours)
    rates = (
        TaxRate("ALV", Area("GB"), "standard", 2_400, ends_at=changed_at),
        TaxRate("ALV", Area("GB"), "standard", 2_550, starts_at=changed_at),
    )
    assert reasons(taxed(basket(MUG=1, to=LONDON), ADDED, rates=rates)) == [[(rate_bp, STANDARD)]]


def test_nothing_is_charged_for_several_reasons_and_each_is_told() -> None:
    assert reasons(taxed(basket(BOOK=1, to=LONDON), ADDED)) == [[(0, ZERO)]]
    assert reasons(taxed(basket(BOOK=1, to=Place("DE")), ADDED)) == [[(0, ZERO)]], "no rate for the class"
    assert reasons(taxed(basket(MUG=1, to=Place("US")), ADDED)) == [[(0, EXPORT)]]
    assert reasons(taxed(basket(MUG=1, to=LONDON, tax_exempt=True), ADDED)) == [[(0, EXEMPT)]]
    assert reasons(taxed(basket(MUG=1, to=Place("DE"), tax_id="DE123456789"), ADDED)) == [[(0, REVERSE_CHARGE)]]
    assert reasons(taxed(basket(MUG=1, to=LONDON, tax_id="GB123456789"), ADDED)) == [[(2_000, STANDARD)]]
    assert reasons(taxed(basket(MUG=1, to=Place("US"), tax_id="1234"), ADDED)) == [[(0, EXPORT)]]


def test_who_pays_no_tax_pays_prices_without_it() -> None:
    (line,) = (found := taxed(basket(MUG=3, to=Place("DE"), tax_id="DE123456789"), INCLUDED)).lines
    assert (line.unit_price_minor, line.relieved_minor, found.total_minor) == (840, 160, 2_520)  # 1,000 at 19 %
    (line,) = taxed(basket(MUG=1, to=Place("US")), INCLUDED).lines
    assert (line.unit_price_minor, line.relieved_minor) == (833, 167), "home's 20 %, as there are no American rates"
    (line,) = taxed(basket(MUG=1, to=Place("US")), ADDED).lines
    assert (line.unit_price_minor, line.relieved_minor) == (1_000, 0)


def test_each_country_sees_prices_its_own_way() -> None:
    taxes = Taxes("GB", RATES, INCLUDED, {"CA": ADDED})
    assert quoted(basket(MUG=1, to=LONDON), Terms(taxes=taxes)).total_minor == 1_000
    assert quoted(basket(MUG=1, to=Place("CA")), Terms(taxes=taxes)).total_minor == 1_050


def test_without_an_address_home_taxes_apply_and_the_address_is_required() -> None:
    found = taxed(basket(MUG=1), ADDED)
    assert (found.tax_minor, [lack.code for lack in found.requirements]) == (200, ["address_required"])
    assert taxed(basket(MUG=1, delivers=False), ADDED).requirements == ()


def test_a_gift_card_is_taxed_when_it_buys_something() -> None:
    found = taxed(basket(CARD=1, to=LONDON), INCLUDED)
    assert (found.total_minor, found.taxes, found.lines[0].taxes) == (5_000, (), ())
    (line,) = taxed(basket(CARD=1, to=Place("US")), INCLUDED).lines
    assert line.unit_price_minor == 5_000


@pytest.mark.parametrize("rounding", [BY_LINE, BY_ORDER])
def test_a_rate_may_be_finer_than_basis_points(rounding: str) -> None:
    """Quebec's QST is 9.975 %: of 49.99 it is 4.9865, and not the 4.989 of 9.98 %; in all with GST, 14.975 %."""
    quebec = Place("CA", "QC")
    rates = (
        TaxRate("GST", Area("CA"), "standard", 500),
        TaxRate("QST", Area("CA", "QC"), "standard", 997, extra_ppm=50),
    )
    added = taxed(basket(PAN=100, to=quebec), TaxPolicy(rounding=rounding), rates=rates)
    assert [(tax.name, tax.rate_bp, tax.extra_ppm, tax.amount_minor) for tax in added.taxes] == [
        ("GST", 500, 0, 24_995),
        ("QST", 997, 50, 49_865),
    ]
    included = taxed(basket(PAN=100, to=quebec), TaxPolicy(included=True, rounding=rounding), rates=rates)
    contained = 499_900 - 499_900 / 1.14975
    assert included.tax_minor == round(contained)
    assert [tax.amount_minor for tax in included.taxes] == [21_740, 43_370]


def test_what_is_beyond_basis_points_alone_is_a_rate_as_well() -> None:
    assert TaxRate("Tiny", Area("US"), "standard", 0, extra_ppm=1).rate_ppm == 1
    with pytest.raises(ValueError, match="above 0 is standard"):
        TaxRate("Tiny", Area("US"), "standard", 0, ZERO, extra_ppm=1)


@pytest.mark.parametrize(("rate_bp", "reason"), [(0, STANDARD), (2_000, ZERO), (-1, STANDARD)])
def test_a_rate_says_why_it_is_zero_and_only_then(rate_bp: int, reason: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        TaxRate("VAT", Area("GB"), "standard", rate_bp, reason)


@pytest.mark.parametrize("wrong", [{"reason": EXPORT}, {"reason": "none", "rate_bp": 0}])
def test_a_rate_has_only_reasons_of_its_own(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="reason"):
        msgspec.structs.replace(RATES[0], **wrong)


def test_taxes_are_rounded_in_one_of_two_ways() -> None:
    with pytest.raises(ValueError, match="round"):
        TaxPolicy(rounding="never")


def test_a_period_begins_and_ends_at_moments_and_not_at_times_of_some_clock() -> None:
    """A moment that cannot be compared with another would fail every basket."""
    said = {**msgspec.to_builtins(RATES[0]), "starts_at": "2026-01-01T00:00:00"}
    with pytest.raises(msgspec.ValidationError, match="timezone"):
        msgspec.convert(said, TaxRate)
    assert msgspec.convert({**said, "starts_at": "2026-01-01T00:00:00Z"}, TaxRate).starts_at is not None


def test_a_tax_is_some_countrys() -> None:
    with pytest.raises(ValueError, match="country"):
        TaxRate("VAT", Area(), "standard", 2_000)


def test_the_taxes_of_a_line_stand_in_one_order_whatever_else_is_in_the_basket() -> None:
    rates = (
        TaxRate("GST", Area("CA"), "books", 200),
        TaxRate("GST", Area("CA"), "standard", 100),
        TaxRate("PST", Area("CA"), "books", 300),
        TaxRate("PST", Area("CA"), "standard", 300),
    )
    for policy in (ADDED, TaxPolicy(rounding=BY_ORDER)):
        found = taxed(basket(BOOK=1, CUP=1, to=Place("CA")), policy, rates=rates)
        assert [[tax.name for tax in line.taxes] for line in found.lines] == [["GST", "PST"]] * 2
