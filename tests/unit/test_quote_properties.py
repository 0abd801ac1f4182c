"""What must hold of every quote, whatever the shop says and whoever buys; and the same total by exact fractions."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.model import Offer, Price, Wanted
from domain.quote.actions import AnyAction
from domain.quote.actions.amounts import Fixed, Percent
from domain.quote.actions.buy_get import BuyGet
from domain.quote.actions.core import LINES, TARGETS
from domain.quote.actions.gift import Gift
from domain.quote.basket import Basket, Card, LiveRate, RateAnswer, RateEstimate, TaxAnswer, TaxEstimate
from domain.quote.options import delivery_options
from domain.quote.places import Area, Place
from domain.quote.quoted import STANDARD, ZERO, Quote, QuotedDelivery, TaxLine
from domain.quote.quoting import quote, rate_question, tax_question
from domain.quote.rules import AnyRule
from domain.quote.rules.buyer import Customer, FirstOrder, Group
from domain.quote.rules.country import Country
from domain.quote.rules.quantity import Quantity
from domain.quote.rules.subtotal import Subtotal
from domain.quote.terms import Terms
from domain.quote.terms.deliveries import DIGITAL, PICKUP, SHIP, Method, Rate
from domain.quote.terms.limits import ONE_ORDER, PurchaseLimit
from domain.quote.terms.prices import PriceList
from domain.quote.terms.promotions import Code, Promotion
from domain.quote.terms.taxes import BY_LINE, BY_ORDER, Taxes, TaxPolicy, TaxRate
from domain.quote.worksheet import EVERYTHING, Items
from tests.quote_oracle import Oracle
from tests.quotes import AT, BOOKS, CROCKERY, CUPS, KITCHEN, OFFERS, check

SKUS = sorted(OFFERS)
POST = UUID(int=50)
COUNTRIES = ("GB", "DE", "CA", "US")

items = st.just(EVERYTHING) | st.builds(
    Items,
    st.frozensets(st.sampled_from(SKUS), max_size=3),
    st.frozensets(st.just(CROCKERY), max_size=1),
    st.frozensets(st.sampled_from((KITCHEN, CUPS, BOOKS)), max_size=2),
)
percentages = st.integers(1, 10_000) | st.sampled_from((333, 500, 1_000, 2_500, 5_000, 10_000))
prices = st.integers(1, 6_000)
amounts = st.fixed_dictionaries({"GBP": prices})


@st.composite
def reductions(draw: st.DrawFn) -> Percent | Fixed:
    """Off lines, the order, or the delivery."""
    how: dict[str, Any] = {"target": draw(st.sampled_from(TARGETS))}
    if how["target"] == LINES:
        how["items"] = draw(items)
        how |= draw(st.sampled_from(({}, {"across": True}, {"max_quantity": 1}, {"max_quantity": 3})))
    if draw(st.booleans()):
        return Percent(percent_bp=draw(percentages), **how)
    return Fixed(amounts_minor=draw(amounts), **how)


actions: st.SearchStrategy[AnyAction] = st.one_of(
    reductions(),
    reductions(),
    st.builds(BuyGet, st.integers(1, 3), st.integers(1, 2), items, items, percentages, st.none() | st.integers(1, 2)),
    st.builds(Gift, st.sampled_from(("TOY", "BOOK", "KITE")), st.integers(1, 2)),
)
rules: st.SearchStrategy[AnyRule] = st.one_of(
    st.builds(Subtotal, amounts, items),
    st.builds(Quantity, st.integers(1, 5), items),
    st.builds(Customer, st.frozensets(st.sampled_from(("ann", "bob")))),
    st.builds(Group, st.frozensets(st.sampled_from(("vip", "trade")))),
    st.builds(FirstOrder),
    st.builds(Country, st.frozensets(st.sampled_from(COUNTRIES), min_size=1)),
)


@st.composite
def promotions(draw: st.DrawFn) -> tuple[Promotion, ...]:
    """Up to five, of ids that do not follow their order."""
    return tuple(
        Promotion(
            UUID(int=number),
            number,
            f"Promotion {number}",
            draw(actions),
            tuple(draw(st.lists(rules, max_size=1))),
            coded=draw(st.booleans()),
            priority=draw(st.integers(0, 1)),
            combines=draw(st.booleans()),
        )
        for number in draw(st.lists(st.integers(1, 9), unique=True, max_size=5))
    )


rates_bp = st.integers(1, 3_000) | st.sampled_from((500, 700, 1_900, 2_000))


@st.composite
def taxes(draw: st.DrawFn) -> Taxes:
    """Some rates of some countries, one or two for each class."""
    rates = [
        TaxRate(name, Area(country), tax_class, draw(rates_bp))
        for country in COUNTRIES[:3]
        for tax_class in ("standard", "books")
        for name in draw(st.sampled_from(((), ("VAT",), ("GST", "PST"))))
    ]
    rates.append(TaxRate("VAT", Area("GB"), "none", 0, ZERO))
    policy = TaxPolicy(draw(st.booleans()), draw(st.sampled_from((BY_LINE, BY_ORDER))))
    return Taxes("GB", tuple(rates), policy, union=frozenset(draw(st.sampled_from(((), ("GB", "DE"))))))


rates = st.builds(
    Rate,
    st.just("GBP"),
    st.integers(0, 2_000),
    below_grams=st.none() | st.integers(1, 5_000),
    free_from_minor=st.none() | prices,
)
methods = st.builds(
    Method,
    st.just(POST),
    st.just("Post"),
    st.sampled_from((SHIP, SHIP, PICKUP)),
    rates=st.lists(rates, min_size=1, max_size=3).map(tuple),
)


@st.composite
def terms(draw: st.DrawFn) -> Terms:
    """All that a shop may say."""
    given = draw(promotions())
    return Terms(
        promotions=given,
        codes={
            f"CODE{promotion.id.int}": Code(UUID(int=99), f"CODE{promotion.id.int}", promotion.id)
            for promotion in given
        },
        taxes=draw(st.none() | taxes()),
        methods=tuple(draw(st.lists(methods, max_size=1))),
    )


@st.composite
def catalogues(draw: st.DrawFn) -> tuple[dict[str, Offer], dict[UUID, PriceList]]:
    """What is sold, and some lists with prices of some of it."""
    groups = st.sampled_from((frozenset[str](), frozenset({"vip"}), frozenset({"trade"})))
    lists = {
        UUID(int=number): PriceList(UUID(int=number), f"List {number}", draw(st.integers(0, 1)), draw(groups))
        for number in draw(st.lists(st.integers(300, 303), max_size=2, unique=True))
    }
    listed = st.builds(
        Price,
        st.sampled_from(("GBP", "EUR")),
        prices,
        st.sampled_from((UUID(int=300), UUID(int=301))),
        st.integers(1, 3),
    )
    offers = {
        sku: msgspec.structs.replace(offer, prices=offer.prices + tuple(draw(st.lists(listed, max_size=2))))
        for sku, offer in OFFERS.items()
        if sku in ("MUG", "CUP", "CARD")
    }
    return OFFERS | offers, lists


cards = st.builds(Card, st.uuids(), st.just("GBP"), st.integers(0, 9_000))
baskets = st.builds(
    Basket,
    st.just("GBP"),
    st.dictionaries(st.sampled_from(SKUS), st.integers(1, 4), max_size=3).map(
        lambda lines: tuple(Wanted(*line) for line in lines.items())
    ),
    customer_id=st.sampled_from((None, "ann")),
    groups=st.frozensets(st.just("vip")),
    first_order=st.sampled_from((None, True, False)),
    to=st.none() | st.sampled_from(COUNTRIES).map(Place),
    tax_id=st.sampled_from((None, None, "DE1")),
    tax_exempt=st.sampled_from((False, False, True)),
    method_id=st.sampled_from((None, POST, POST)),
    codes=st.lists(st.sampled_from([f"code{number}" for number in range(1, 10)]), max_size=9, unique=True).map(tuple),
    cards=st.lists(cards, max_size=2).map(tuple),
)


def cuts(found: Quote) -> list[list[tuple[str, int]]]:
    return [[(str(one.promotion_id), one.amount_minor) for one in line.discounts] for line in found.lines]


def _compare(wanted: Basket, shop: Terms, catalogue: tuple[dict[str, Offer], dict[UUID, PriceList]]) -> None:
    offers, lists = catalogue
    shop = msgspec.structs.replace(shop, price_lists=lists)
    found = quote(wanted, offers, shop, AT)
    check(found)
    oracle = Oracle(wanted, offers, shop)
    oracle.work(AT)
    assert cuts(found) == [line["cuts"] for line in oracle.lines]
    assert [
        [((tax.name, tax.rate_bp), tax.amount_minor) for tax in line.taxes if tax.rate_bp] for line in found.lines
    ] == [[*line["taxes"]] for line in oracle.lines]
    assert (found.delivery is None) == (oracle.delivery is None)
    if found.delivery is not None and oracle.delivery is not None:
        assert [(str(one.promotion_id), one.amount_minor) for one in found.delivery.discounts] == oracle.delivery[
            "cuts"
        ]
        assert found.delivery.tax_minor == sum(amount for _, amount in oracle.delivery["taxes"])
    assert found.total_minor == oracle.total()
    assert found.due_minor == max(0, found.total_minor - sum(card.balance_minor for card in wanted.cards if card))


@given(baskets, terms(), catalogues())
def test_a_quote_agrees_with_exact_fractions(
    wanted: Basket, shop: Terms, catalogue: tuple[dict[str, Offer], dict[UUID, PriceList]]
) -> None:
    _compare(wanted, shop, catalogue)


@pytest.mark.campaign
@pytest.mark.timeout(900)
@settings(max_examples=10_000)
@given(baskets, terms(), catalogues())
def test_a_quote_agrees_with_exact_fractions_in_many_examples(
    wanted: Basket, shop: Terms, catalogue: tuple[dict[str, Offer], dict[UUID, PriceList]]
) -> None:
    _compare(wanted, shop, catalogue)


@given(baskets, terms(), st.randoms(use_true_random=False))
def test_the_same_input_gives_the_same_quote_wherever_and_in_whatever_order_it_was_loaded(
    wanted: Basket, shop: Terms, chance: Any
) -> None:
    """A worker reads its own copy of the rows, in the order in which they come."""
    shuffled = [*shop.promotions]
    chance.shuffle(shuffled)
    tax_rates = [*shop.taxes.rates] if shop.taxes is not None else []
    chance.shuffle(tax_rates)
    copied = msgspec.convert(
        msgspec.to_builtins(
            msgspec.structs.replace(
                shop,
                promotions=tuple(shuffled),
                taxes=None if shop.taxes is None else msgspec.structs.replace(shop.taxes, rates=tuple(tax_rates)),
            )
        ),
        Terms,
    )
    again = msgspec.json.decode(msgspec.json.encode(wanted), type=Basket)
    there = quote(again, OFFERS, copied, AT)
    here = quote(wanted, OFFERS, shop, AT)
    assert msgspec.structs.replace(there, remarks=()) == msgspec.structs.replace(here, remarks=())
    assert sorted(map(repr, there.remarks)) == sorted(map(repr, here.remarks))


@given(baskets, terms())
def test_a_quote_is_kept_as_it_is(wanted: Basket, shop: Terms) -> None:
    found = quote(wanted, OFFERS, shop, AT)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Quote) == found


@st.composite
def ways(draw: st.DrawFn) -> tuple[Method, ...]:
    """Some methods of all kinds, for everybody or for some, of the class of goods or not."""
    areas = st.sampled_from(((), (Area("GB"),), (Area("DE"), Area("US"))))
    return tuple(
        Method(
            UUID(int=number),
            f"Way {number}",
            draw(st.sampled_from((SHIP, PICKUP, DIGITAL))),
            draw(areas),
            tuple(draw(st.lists(rates, min_size=1, max_size=2))),
            tax_class=draw(st.sampled_from(("standard", "books"))),
            groups=draw(st.sampled_from((frozenset[str](), frozenset({"vip"})))),
            live=draw(st.sampled_from((False, False, True))),
            active=draw(st.sampled_from((True, True, False))),
        )
        for number in draw(st.lists(st.integers(50, 59), min_size=1, max_size=5, unique=True))
    )


def _rated(wanted: Basket, shop: Terms) -> Basket:
    """The basket with what its delivery provider would say of it, of all but some methods."""
    asked = rate_question(wanted, OFFERS, shop, AT)
    if asked is None:
        return wanted
    said = tuple(LiveRate(way.id, asked.currency, 7 * way.id.int) for way in asked.methods if way.id.int % 4)
    return msgspec.structs.replace(wanted, rate_estimate=RateEstimate(asked, RateAnswer(said)))


def _answered(wanted: Basket, shop: Terms) -> Basket:
    """The basket with what its provider of taxes would say of it."""
    asked = tax_question(wanted, OFFERS, shop, AT)
    if asked is None:
        return wanted
    taxed = tuple((TaxLine("VAT", "GB", 2_000, STANDARD, part.amount_minor // 6),) for part in asked.parts)
    return msgspec.structs.replace(wanted, tax_estimate=TaxEstimate(asked, TaxAnswer(taxed)))


def _with_what_they_take(wanted: Basket, shop: Terms) -> list[QuotedDelivery]:
    """The options, if what was taken is looked up only of what they would take."""
    known: dict[str, int] = {}
    while True:
        options = delivery_options(msgspec.structs.replace(wanted, taken=known), OFFERS, shop, AT)
        unknown = {take.key for take in options.takes} - known.keys()
        if not unknown:
            return list(options.deliveries)
        known = {**known, **{key: wanted.taken.get(key, 0) for key in unknown}}


@given(baskets, terms(), ways(), st.sampled_from((None, None, None, "provider")), st.frozensets(st.integers(1, 9)))
def test_an_option_is_the_delivery_that_a_whole_quote_has(
    wanted: Basket, shop: Terms, given_ways: tuple[Method, ...], provider: str | None, gone: frozenset[int]
) -> None:
    limited = tuple(msgspec.structs.replace(each, uses_limit=1) for each in shop.promotions)
    limits = (PurchaseLimit(UUID(int=98), 2, window=ONE_ORDER),)
    shop = msgspec.structs.replace(
        shop,
        methods=given_ways,
        promotions=limited,
        tax_provider=provider,
        delivery_provider="wheels",
        purchase_limits=limits,
    )
    taken = {f"promotion:{UUID(int=number)}": 1 for number in gone}
    wanted = msgspec.structs.replace(wanted, taken=taken, method_id=given_ways[0].id)
    wanted = _answered(_rated(wanted, shop), shop)
    whole = [quote(msgspec.structs.replace(wanted, method_id=way.id), OFFERS, shop, AT).delivery for way in given_ways]
    found = [*delivery_options(wanted, OFFERS, shop, AT).deliveries]
    assert _with_what_they_take(wanted, shop) == found
    assert found == ([each for each in whole if each is not None] if wanted.lines else [])
