"""What live methods cost is what their provider answers, to this question and for a while."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from domain.limits import PRICE_MAX_MINOR
from domain.quote.actions.amounts import Percent
from domain.quote.actions.core import DELIVERY
from domain.quote.actions.gift import Gift
from domain.quote.basket import Basket, LiveRate, RateAnswer, RateEstimate, RateQuestion
from domain.quote.live_rates import untrue
from domain.quote.options import delivery_options
from domain.quote.places import Area, Place
from domain.quote.quoting import quote, rate_question
from domain.quote.terms import Terms
from domain.quote.terms.deliveries import DIGITAL, PICKUP, Method, Rate
from domain.quote.terms.taxes import Taxes
from tests.quotes import AT, LONDON, OFFERS, basket, promotion, quoted

POST, VAN, BIKE = (UUID(int=number) for number in range(60, 63))
METHODS = (
    Method(POST, "Post", rates=(Rate("GBP", 499),)),
    Method(VAN, "Van", live=True),
    Method(BIKE, "Bike", areas=(Area("GB", "LND"),), live=True),
)
SHOP = Terms(methods=METHODS, delivery_provider="wheels")
WANTED = basket(MUG=2, EBOOK=1, to=LONDON, method_id=VAN)
SOON = AT + timedelta(seconds=1)


def asked_about(wanted: Basket, terms: Terms = SHOP) -> RateQuestion:
    found = rate_question(wanted, OFFERS, terms, AT)
    assert found is not None
    return found


def answered(
    wanted: Basket = WANTED, prices: dict[UUID, int] | None = None, until: datetime | None = SOON, currency: str = "GBP"
) -> Basket:
    """The basket with the provider's answer: the price of each method."""
    said = {VAN: 712, BIKE: 950} if prices is None else prices
    rates = tuple(LiveRate(method_id, currency, price_minor) for method_id, price_minor in said.items())
    return msgspec.structs.replace(wanted, rate_estimate=RateEstimate(asked_about(wanted), RateAnswer(rates, until)))


def lacks(wanted: Basket, terms: Terms = SHOP) -> list[str]:
    return [lack.code for lack in quoted(wanted, terms).requirements]


def options(wanted: Basket, terms: Terms = SHOP) -> list[tuple[str, int]]:
    return [(each.name, each.gross_minor) for each in delivery_options(wanted, OFFERS, terms, AT).deliveries]


def test_a_provider_is_asked_about_what_is_sent_by_the_methods_that_may() -> None:
    tenth = promotion(1, Percent(percent_bp=1_000))
    cup = promotion(2, Gift("CUP"))
    asked = asked_about(WANTED, msgspec.structs.replace(SHOP, promotions=(tenth, cup)))
    assert (asked.provider, asked.currency, asked.to) == ("wheels", "GBP", LONDON)
    assert [(method.id, method.name) for method in asked.methods] == [(VAN, "Van"), (BIKE, "Bike")]
    assert [(part.sku, part.quantity, part.weight_grams, part.amount_minor) for part in asked.parts] == [
        ("MUG", 2, 350, 1_800),
        ("CUP", 1, 200, 0),
    ]
    elsewhere = asked_about(msgspec.structs.replace(WANTED, to=Place("US")))
    assert [method.name for method in elsewhere.methods] == ["Van"]
    assert msgspec.structs.replace(asked_about(WANTED), methods=()) == msgspec.structs.replace(
        asked_about(msgspec.structs.replace(WANTED, method_id=POST)), methods=()
    ), "whatever was chosen"
    assert RateQuestion.opened(asked.sealed()) == asked


@pytest.mark.parametrize(
    ("wanted", "terms"),
    [
        (WANTED, msgspec.structs.replace(SHOP, delivery_provider=None)),
        (WANTED, msgspec.structs.replace(SHOP, methods=METHODS[:1])),
        (WANTED, msgspec.structs.replace(SHOP, methods=(Method(VAN, "Van", PICKUP, live=True),))),
        (basket(EBOOK=1, to=LONDON), msgspec.structs.replace(SHOP, methods=(Method(VAN, "Van", DIGITAL, live=True),))),
        (WANTED, msgspec.structs.replace(SHOP, methods=(Method(VAN, "Van", live=True, active=False),))),
        (basket(MUG=2, method_id=VAN), SHOP),
        (basket(EBOOK=1, to=LONDON, method_id=VAN), SHOP),
        (basket(to=LONDON, method_id=VAN), SHOP),
    ],
    ids=["nobody", "no such method", "picked up", "digital", "given up", "nowhere", "nothing to send", "empty"],
)
def test_nobody_is_asked_in_vain(wanted: Basket, terms: Terms) -> None:
    assert rate_question(wanted, OFFERS, terms, AT) is None
    chosen = msgspec.structs.replace(wanted, method_id=VAN)
    assert "delivery_pending" not in lacks(chosen, terms)
    assert lacks(chosen, terms) != []
    assert "Van" not in dict(options(wanted, terms))


def test_where_the_order_goes_is_all_that_lacks_before_anybody_can_be_asked() -> None:
    assert lacks(basket(MUG=1, method_id=VAN)) == ["address_required"]


def test_until_it_answers_its_methods_wait_and_others_do_not() -> None:
    assert lacks(WANTED) == ["delivery_pending"]
    assert quoted(WANTED, SHOP).delivery is None
    unanswered = msgspec.structs.replace(WANTED, rate_estimate=RateEstimate(asked_about(WANTED)))
    assert lacks(unanswered) == ["delivery_pending"]
    assert options(unanswered) == [("Post", 499)]
    assert lacks(msgspec.structs.replace(unanswered, method_id=POST)) == []


def test_its_answer_is_what_is_charged() -> None:
    wanted = answered()
    found = quoted(wanted, SHOP)
    assert (found.requirements, found.delivery_minor, found.total_minor) == ((), 712, 2_700 + 712)
    assert options(wanted) == [("Post", 499), ("Van", 712), ("Bike", 950)]
    half = promotion(1, Percent(percent_bp=5_000, target=DELIVERY))
    assert quoted(wanted, msgspec.structs.replace(SHOP, promotions=(half,))).total_minor == 2_700 + 356


def test_a_method_that_the_answer_leaves_out_is_not_to_be_had() -> None:
    for wanted in (answered(prices={BIKE: 950}), answered(prices={})):
        assert lacks(wanted) == ["delivery_unavailable"]
        assert "Van" not in dict(options(wanted))


def test_an_answer_counts_before_it_expires() -> None:
    assert lacks(answered(until=SOON)) == []
    assert lacks(answered(until=None)) == []
    late = answered(until=AT)
    assert lacks(late) == ["delivery_pending"]
    assert options(late) == [("Post", 499)]


@pytest.mark.parametrize(
    "changed",
    [
        {"to": Place("GB", "LND", "N1")},
        {"lines": basket(MUG=3, EBOOK=1).lines},
        {"lines": basket(MUG=2, EBOOK=1, TOY=1).lines},
        {"currency": "EUR", "lines": basket(MUG=2).lines},
    ],
    ids=["place", "pieces", "lines", "currency"],
)
def test_an_answer_to_another_question_does_not_count(changed: dict[str, Any]) -> None:
    other = msgspec.structs.replace(answered(), **changed)
    assert lacks(other) == ["delivery_pending"]
    assert "Van" not in dict(options(other))


def test_an_answer_does_not_outlive_the_terms_that_it_was_asked_on() -> None:
    wanted = answered()
    for terms in (
        msgspec.structs.replace(SHOP, delivery_provider="wings"),
        msgspec.structs.replace(SHOP, methods=METHODS[:2]),
        msgspec.structs.replace(SHOP, promotions=(promotion(1, Percent(percent_bp=1_000)),)),
    ):
        assert lacks(wanted, terms) == ["delivery_pending"]


def test_what_is_not_sent_may_change() -> None:
    assert lacks(msgspec.structs.replace(answered(), lines=basket(MUG=2, EBOOK=7).lines)) == []


def test_a_choice_that_is_collected_at_home_leaves_the_question_as_it_is() -> None:
    """Whoever is abroad sees what both would cost, each where it hands the goods over."""
    collect = Method(POST, "From the shop", PICKUP, rates=(Rate("GBP", 0),))
    terms = msgspec.structs.replace(SHOP, methods=(collect, METHODS[1]), taxes=Taxes("GB"))
    wanted = basket(MUG=2, to=Place("US"), method_id=POST)
    asked = rate_question(wanted, OFFERS, terms, AT)
    assert asked is not None
    estimate = RateEstimate(asked, RateAnswer((LiveRate(VAN, "GBP", 712),)))
    wanted = msgspec.structs.replace(wanted, rate_estimate=estimate)
    assert options(wanted, terms) == [("From the shop", 0), ("Van", 712)]
    sent = quote(msgspec.structs.replace(wanted, method_id=VAN), OFFERS, terms, AT)
    assert (sent.requirements, sent.delivery_minor) == ((), 712)


@pytest.mark.parametrize(
    ("rates", "wrong"),
    [
        ((LiveRate(VAN, "GBP", -1),), "a rate of -1"),
        ((LiveRate(VAN, "GBP", PRICE_MAX_MINOR + 1),), f"a rate of {PRICE_MAX_MINOR + 1}"),
        ((LiveRate(VAN, "EUR", 712),), "in 'EUR'"),
        ((LiveRate(POST, "GBP", 712),), "not asked for"),
        ((LiveRate(VAN, "GBP", 712), LiveRate(VAN, "GBP", 1)), "another one"),
    ],
    ids=["negative", "huge", "currency", "unknown", "twice"],
)
def test_an_answer_that_cannot_be_true_does_not_count(rates: tuple[LiveRate, ...], wrong: str) -> None:
    asked, answer = asked_about(WANTED), RateAnswer(rates)
    assert wrong in str(untrue(asked, answer))
    wanted = msgspec.structs.replace(WANTED, rate_estimate=RateEstimate(asked, answer))
    assert lacks(wanted) == ["delivery_pending"]
    assert options(wanted) == [("Post", 499)]


def test_what_can_be_true_is() -> None:
    asked = asked_about(WANTED)
    assert untrue(asked, RateAnswer()) is None
    assert untrue(asked, RateAnswer((LiveRate(BIKE, "GBP", PRICE_MAX_MINOR), LiveRate(VAN, "GBP", 0)), SOON)) is None
    assert untrue(asked, RateAnswer((), SOON.replace(tzinfo=None))) == "its expiry has no time zone"
