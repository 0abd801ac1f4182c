"""How a basket gets to its buyer, and what that costs."""

from collections import Counter
from typing import Any
from uuid import UUID

import msgspec
import pytest

from domain.limits import DELIVERY_OPTIONS_MAX
from domain.model import Offer, Price
from domain.quote.actions.amounts import Fixed, Percent
from domain.quote.actions.core import DELIVERY, ORDER
from domain.quote.basket import Basket
from domain.quote.goods import Goods
from domain.quote.options import delivery_options
from domain.quote.places import Area, Place, PostalCodes
from domain.quote.quoted import Quote
from domain.quote.quoting import quote
from domain.quote.rules.country import Country
from domain.quote.rules.subtotal import Subtotal
from domain.quote.terms import Terms
from domain.quote.terms.deliveries import DIGITAL, PICKUP, SHIP, Method, Rate
from domain.quote.terms.prices import PriceList
from domain.quote.terms.taxes import BY_LINE, BY_ORDER, Taxes, TaxPolicy, TaxRate
from tests.quotes import AT, LONDON, OFFERS, basket, promoted, promotion, quoted

POST, COURIER, SHOP, MAIL, CARRIER = (UUID(int=number) for number in range(50, 55))
METHODS = (
    Method(
        POST,
        "Post",
        areas=(Area("GB"), Area("DE", postal_codes=PostalCodes("10", "14"))),
        rates=(
            Rate("GBP", 299, below_grams=1_000, free_from_minor=5_000),
            Rate("GBP", 599, from_grams=1_000, below_grams=10_000, free_from_minor=10_000),
        ),
    ),
    Method(COURIER, "Courier", rates=(Rate("GBP", 999, from_minor=2_000), Rate("EUR", 1_199))),
    Method(SHOP, "From the shop", PICKUP, rates=(Rate("GBP", 0), Rate("EUR", 0))),
    Method(MAIL, "By e-mail", DIGITAL, rates=(Rate("GBP", 0),)),
    Method(CARRIER, "Carrier", live=True, groups=frozenset({"trade"})),
)


def delivered(wanted: Basket) -> Quote:
    return quoted(wanted, Terms(methods=METHODS))


def lacks(wanted: Basket) -> list[tuple[str, str]]:
    return [(lack.field, lack.code) for lack in delivered(wanted).requirements]


def price(wanted: Basket) -> int:
    found = delivered(wanted)
    assert found.delivery is not None, found.requirements
    return found.delivery_minor


ADDRESS, CHOICE, UNAVAILABLE = (
    ("/address", "address_required"),
    ("/method_id", "delivery_required"),
    ("/method_id", "delivery_unavailable"),
)


def test_what_is_sent_needs_an_address_and_a_method() -> None:
    assert lacks(basket(MUG=1)) == [ADDRESS, CHOICE]
    assert lacks(basket(MUG=1, to=LONDON)) == [CHOICE]
    assert lacks(basket(MUG=1, to=LONDON, method_id=POST)) == []
    assert lacks(basket(MUG=1, method_id=POST)) == [ADDRESS]
    assert lacks(basket(MUG=1, method_id=SHOP)) == [], "who comes needs no address"


def test_what_is_not_sent_needs_neither() -> None:
    for wanted in (basket(EBOOK=1), basket(CARD=1), basket(MUG=1, delivers=False)):
        found = delivered(wanted)
        assert (found.requirements, found.delivery) == ((), None)
    assert price(basket(EBOOK=1, method_id=MAIL)) == 0


def test_a_shop_without_methods_delivers_nothing() -> None:
    assert quoted(basket(MUG=1)).requirements == ()


@pytest.mark.parametrize(
    "wanted",
    [
        basket(MUG=1, to=LONDON, method_id=UUID(int=99)),
        basket(MUG=1, to=Place("FR"), method_id=POST),
        basket(MUG=1, to=Place("DE", "", "20095"), method_id=POST),
        basket(MUG=99, to=LONDON, method_id=POST),
        basket(MUG=1, to=LONDON, method_id=COURIER),
        basket(MUG=1, to=LONDON, method_id=MAIL),
        basket(EBOOK=1, to=LONDON, method_id=POST),
        basket("EUR", MUG=1, to=LONDON, method_id=POST),
        basket(MUG=1, to=LONDON, method_id=CARRIER),
    ],
)
def test_a_method_has_an_area_a_currency_and_bounds(wanted: Basket) -> None:
    assert lacks(wanted) == [UNAVAILABLE]
    assert delivered(wanted).delivery is None


def test_a_rate_goes_by_weight() -> None:
    assert price(basket(MUG=2, to=LONDON, method_id=POST)) == 299
    assert price(basket(TOY=9, to=LONDON, method_id=POST)) == 299
    assert price(basket(TOY=10, to=LONDON, method_id=POST)) == 599
    assert price(basket(TOY=9, EBOOK=50, to=LONDON, method_id=POST)) == 0, "what is not sent weighs nothing"


def test_a_rate_goes_by_what_the_goods_cost() -> None:
    assert lacks(basket(MUG=1, to=LONDON, method_id=COURIER)) == [UNAVAILABLE]
    assert price(basket(MUG=2, to=LONDON, method_id=COURIER)) == 999


def test_delivery_is_free_above_an_amount_after_discounts() -> None:
    assert price(basket(MUG=1, EBOOK=5, to=LONDON, method_id=POST)) == 299
    assert price(basket(MUG=1, EBOOK=6, to=LONDON, method_id=POST)) == 0
    assert price(basket(MUG=9, to=LONDON, method_id=POST)) == 599
    assert price(basket(MUG=10, to=LONDON, method_id=POST)) == 0, "the amount itself is enough"
    tenth = promotion(1, Percent(percent_bp=1_000))
    found = promoted(basket(MUG=1, EBOOK=6, to=LONDON, method_id=POST), tenth, methods=METHODS)
    assert (found.discount_minor, found.delivery_minor) == (520, 299)


def test_a_delivery_is_taxed_by_its_class() -> None:
    taxes = Taxes("GB", (TaxRate("VAT", Area("GB"), "standard", 2_000),), TaxPolicy(included=True))
    found = quoted(basket(BOOK=1, to=LONDON, method_id=POST), Terms(methods=METHODS, taxes=taxes))
    assert found.delivery is not None
    assert (found.delivery.net_minor, found.delivery.tax_minor, found.tax_minor) == (249, 50, 50)
    abroad = quoted(basket(MUG=3, to=Place("US"), method_id=COURIER), Terms(methods=METHODS, taxes=taxes))
    assert abroad.delivery is not None
    assert (abroad.delivery.amount_minor, abroad.delivery.relieved_minor) == (833, 166)


def test_the_options_are_what_each_would_cost() -> None:
    free = promotion(1, Percent(percent_bp=10_000, target=DELIVERY), Subtotal({"GBP": 3_000}))
    terms = Terms(methods=METHODS, promotions=(free,))
    for wanted, options in (
        (basket(MUG=1, to=LONDON), [("Post", 299), ("From the shop", 0)]),
        (basket(MUG=2, to=LONDON), [("Post", 299), ("Courier", 999), ("From the shop", 0)]),
        (basket(MUG=3, to=LONDON), [("Post", 0), ("Courier", 0), ("From the shop", 0)]),
        (basket(MUG=1), [("From the shop", 0)]),
        (basket(EBOOK=1), [("By e-mail", 0)]),
    ):
        found = delivery_options(wanted, OFFERS, terms, AT).deliveries
        assert [(option.name, option.gross_minor) for option in found] == options


def test_the_options_are_bounded_and_an_empty_basket_has_none() -> None:
    many = tuple(Method(UUID(int=1_000 + n), f"Post {n}", rates=(Rate("GBP", n),)) for n in range(100))
    unavailable = tuple(Method(UUID(int=n), "Nowhere", areas=(Area("FR"),)) for n in range(1, 100))
    terms = Terms(methods=(*unavailable, *many))
    found = delivery_options(basket(MUG=1, to=LONDON), OFFERS, terms, AT).deliveries
    assert [option.name for option in found] == [f"Post {n}" for n in range(DELIVERY_OPTIONS_MAX)]
    assert delivery_options(basket(to=LONDON), OFFERS, terms, AT).deliveries == ()


VAT = Taxes(
    "GB", (TaxRate("VAT", Area("GB"), "standard", 2_000),), TaxPolicy(included=True), union=frozenset({"GB", "DE"})
)


def _costs(wanted: Basket, terms: Terms) -> tuple[int, int, int, list[str]]:
    found = quoted(wanted, terms)
    assert found.requirements == ()
    return found.total_minor, found.tax_minor, found.discount_minor, [tax.reason for tax in found.taxes]


@pytest.mark.parametrize("included", [True, False])
def test_what_is_collected_is_taxed_at_home_whatever_address_its_buyer_has(included: bool) -> None:
    taxes = Taxes("GB", VAT.rates, TaxPolicy(included=included), union=VAT.union)
    terms = Terms(methods=METHODS, taxes=taxes)
    here = _costs(basket(MUG=1, method_id=SHOP), terms)
    assert here == ((1_000, 167, 0, ["standard"]) if included else (1_200, 200, 0, ["standard"]))
    for to in (LONDON, Place("US"), Place("DE")):
        assert _costs(basket(MUG=1, to=to, tax_id="DE1", method_id=SHOP), terms) == here
    sent = _costs(basket(MUG=3, to=Place("US"), method_id=COURIER), terms)
    assert sent == (2_499 + 833 if included else 3_999, 0, 0, ["export"])


def test_what_is_collected_has_the_prices_and_promotions_of_home() -> None:
    abroad = PriceList(UUID(int=300), "Abroad", countries=frozenset({"US"}))
    offers = OFFERS | {"MUG": Offer("MUG", 1_000, "GBP", prices=(Price("GBP", 600, abroad.id),), weight_grams=350)}
    fiver = promotion(1, Fixed(amounts_minor={"GBP": 500}, target=ORDER), Country(frozenset({"US"})))
    terms = Terms({abroad.id: abroad}, (fiver,), methods=METHODS, taxes=Taxes("GB"))
    there = basket(MUG=5, to=Place("US"))
    sent, collected, nowhere = (
        quote(wanted, offers, terms, AT).total_minor
        for wanted in (
            msgspec.structs.replace(there, method_id=COURIER),
            msgspec.structs.replace(there, method_id=SHOP),
            msgspec.structs.replace(there, method_id=SHOP, to=None),
        )
    )
    assert (sent, collected, nowhere) == (3_000 - 500 + 999, 5_000, 5_000)


def test_who_may_collect_is_a_matter_of_their_address() -> None:
    inland = Method(UUID(int=55), "From the depot", PICKUP, (Area("GB"),), (Rate("GBP", 100),))
    terms = Terms(methods=(inland,), taxes=VAT)
    for to, lacking in ((LONDON, []), (Place("US"), ["delivery_unavailable"]), (None, ["delivery_unavailable"])):
        found = quoted(basket(MUG=1, to=to, method_id=inland.id), terms)
        assert [lack.code for lack in found.requirements] == lacking
        assert len(delivery_options(basket(MUG=1, to=to), OFFERS, terms, AT).deliveries) == 1 - len(lacking)


def test_each_option_is_taxed_where_it_hands_the_goods_over() -> None:
    dear = Method(UUID(int=56), "From the depot", PICKUP, rates=(Rate("GBP", 600),))
    for rounding in ("line", BY_ORDER):
        terms = Terms(methods=(*METHODS, dear), taxes=Taxes("GB", VAT.rates, TaxPolicy(True, rounding)))
        found = delivery_options(basket(MUG=3, to=Place("US")), OFFERS, terms, AT).deliveries
        assert [(each.name, each.gross_minor, each.tax_minor) for each in found] == [
            ("Courier", 833, 0),
            ("From the shop", 0, 0),
            ("From the depot", 600, 100),
        ]


def test_an_option_whose_tax_is_rounded_for_the_order_has_its_share_of_it() -> None:
    ways = tuple(Method(UUID(int=60 + n), f"Way {n}", rates=(Rate("GBP", 339),)) for n in range(3))
    for rounding, tax_minor in ((BY_LINE, 56), (BY_ORDER, 57)):  # 56.5, of 178.67 in all
        terms = Terms(methods=ways, taxes=Taxes("GB", VAT.rates, TaxPolicy(True, rounding)))
        wanted = basket(CUP=1, TOY=1, to=LONDON, method_id=ways[0].id)
        assert [each.tax_minor for each in delivery_options(wanted, OFFERS, terms, AT).deliveries] == [tax_minor] * 3
        whole = quoted(wanted, terms).delivery
        assert whole is not None
        assert whole.tax_minor == tax_minor


def test_one_delivery_after_the_other_leaves_goods_as_they_were() -> None:
    way, terms = Method(POST, "Post", rates=(Rate("GBP", 333),)), Terms(taxes=VAT)
    goods = Goods(basket(CUP=1, to=LONDON), OFFERS, terms, AT, LONDON)
    for _ in range(3):
        goods.deliver(way.delivery(goods.sheet, LONDON, goods.rates_for(way)))
        goods.tax()
        assert [part.tax_minor for part in goods.sheet.parts()] == [55, 55]


class _Counted(dict[str, Offer]):
    """Offers that know how often each was looked at."""

    def __init__(self, offers: dict[str, Offer]) -> None:
        super().__init__(offers)
        self.looks = Counter[str]()

    def get(self, sku: str, default: Any = None) -> Any:
        self.looks[sku] += 1
        return super().get(sku, default)


def test_goods_are_priced_once_for_each_place_and_not_for_each_option() -> None:
    ways = tuple(
        Method(UUID(int=1_000 + n), f"Way {n}", kind, rates=(Rate("GBP", n),))
        for n in range(10)
        for kind in (SHIP, PICKUP)
    )
    for to, times in ((LONDON, 1), (Place("US"), 2)):
        offers = _Counted(OFFERS)
        assert (
            len(delivery_options(basket(MUG=1, BOOK=2, to=to), offers, Terms(methods=ways, taxes=VAT), AT).deliveries)
            == 20
        )
        assert offers.looks == {"MUG": times, "BOOK": times}


def test_places_are_spelled_alike() -> None:
    assert Place.of(" gb ", "gb-lnd", "sw1a 1aa") == Place("GB", "LND", "SW1A1AA")
    assert Place.of("PL", "", "00-950") == Place("PL", "", "00950")


@pytest.mark.parametrize(
    ("first", "last", "inside", "outside"),
    [
        ("IV", "IV", ("IV11AA", "IV"), ("IP11AA", "I", "")),
        ("10000", "14199", ("10000", "12345", "14199"), ("09999", "14200")),
        ("35", "38", ("35001", "38999"), ("34999", "39000")),
    ],
)
def test_postal_codes_are_a_range_or_a_prefix(
    first: str, last: str, inside: tuple[str, ...], outside: tuple[str, ...]
) -> None:
    codes = PostalCodes(first, last)
    assert all(postal in codes for postal in inside)
    assert not any(postal in codes for postal in outside)


@pytest.mark.parametrize(("first", "last"), [("", ""), ("10", "9"), ("20", "10"), ("iv", "iv"), ("SW 1", "SW 1")])
def test_invalid_postal_codes_are_refused(first: str, last: str) -> None:
    with pytest.raises(ValueError, match="postal codes"):
        PostalCodes(first, last)


def test_a_method_is_of_a_kind() -> None:
    with pytest.raises(ValueError, match="drone"):
        Method(POST, "Drone", "drone")
