"""Which price a line pays, and what is not sold at all."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import pytest

from domain.limits import ORDER_MAX_TOTAL_MINOR, PRICE_MAX_MINOR
from domain.model import Offer, Price, Wanted
from domain.quote.basket import Basket
from domain.quote.places import Place
from domain.quote.quoted import Quote
from domain.quote.quoting import quote
from domain.quote.terms import NO_TERMS, Terms
from domain.quote.terms.prices import PriceList, lowest_price

AT: Final = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
SALE, MEMBERS, BULK = (UUID(int=number) for number in (1, 2, 3))

MUG = Offer(
    "MUG",
    1_000,
    "GBP",
    prices=(
        Price("EUR", 1_200),
        Price("GBP", 800, SALE),
        Price("GBP", 900, MEMBERS),
        Price("GBP", 700, BULK, 10),
        Price("JPY", 190_000, SALE),
    ),
)


def priced(
    *lists: PriceList,
    quantity: int = 1,
    currency: str = "GBP",
    groups: tuple[str, ...] = (),
    country: str | None = None,
) -> Quote:
    to = None if country is None else Place(country)
    basket = Basket(currency, (Wanted("MUG", quantity),), groups=frozenset(groups), to=to)
    return quote(basket, {"MUG": MUG}, Terms({each.id: each for each in lists}), AT)


def unit_price(*lists: PriceList, quantity: int = 1, currency: str = "GBP", groups: tuple[str, ...] = ()) -> int:
    (line,) = priced(*lists, quantity=quantity, currency=currency, groups=groups).lines
    return line.unit_price_minor


def test_a_sku_has_a_price_of_its_own_in_each_currency() -> None:
    assert unit_price() == 1_000
    assert unit_price(currency="EUR") == 1_200


def test_not_sold_in_a_currency_is_not_sold_and_never_converted() -> None:
    refused = priced(currency="JPY")
    assert refused.lines == ()
    assert [(lack.field, lack.code) for lack in refused.requirements] == [("/lines/0/sku", "not_sold_in_currency")]
    assert unit_price(PriceList(SALE, "Sale"), currency="JPY") == 190_000, "a list may have what the SKU itself has not"


def test_a_line_says_where_its_price_is_from() -> None:
    (line,) = priced(PriceList(SALE, "Sale"), quantity=3).lines
    assert (line.unit_price_minor, line.amount_minor, line.price_list_id, line.own_price_minor) == (
        800,
        2_400,
        SALE,
        1_000,
    )
    (line,) = priced(quantity=3).lines
    assert (line.price_list_id, line.own_price_minor) == (None, 1_000)


def test_the_higher_priority_wins_and_then_the_lower_price() -> None:
    sale, members = PriceList(SALE, "Sale"), PriceList(MEMBERS, "Members", groups=frozenset({"members"}))
    assert unit_price(sale, members, groups=("members",)) == 800
    dearer_first = PriceList(MEMBERS, "Members", 1, frozenset({"members"}))
    assert unit_price(sale, dearer_first, groups=("members",)) == 900


def test_a_groups_prices_are_for_the_group() -> None:
    members = PriceList(MEMBERS, "Members", groups=frozenset({"members"}))
    assert unit_price(members) == 1_000
    assert unit_price(members, groups=("staff",)) == 1_000
    assert unit_price(members, groups=("staff", "members")) == 900


def test_a_countrys_prices_are_for_the_country() -> None:
    swiss = PriceList(SALE, "Switzerland", countries=frozenset({"CH"}))
    for country, paid in ((None, 1_000), ("DE", 1_000), ("CH", 800)):
        (line,) = priced(swiss, country=country).lines
        assert line.unit_price_minor == paid


@pytest.mark.parametrize(
    ("starts_at", "ends_at", "stands"),
    [
        (None, None, True),
        (AT, None, True),
        (AT + HOUR, None, False),
        (None, AT, False),
        (None, AT + HOUR, True),
        (AT - HOUR, AT + HOUR, True),
    ],
)
def test_a_sale_has_a_start_and_an_end(starts_at: datetime | None, ends_at: datetime | None, stands: bool) -> None:
    sale = PriceList(SALE, "Sale", starts_at=starts_at, ends_at=ends_at)
    assert unit_price(sale) == (800 if stands else 1_000)


def test_a_bulk_price_is_for_enough_pieces() -> None:
    bulk = PriceList(BULK, "Bulk")
    assert unit_price(bulk, quantity=9) == 1_000
    assert unit_price(bulk, quantity=10) == 700


def test_what_cannot_be_sold_is_a_requirement_and_no_line() -> None:
    offers = {"MUG": MUG, "SLED": Offer("SLED", 100, "GBP", on_sale=False)}
    basket = Basket("GBP", (Wanted("KITE", 1), Wanted("MUG", 2), Wanted("SLED", 1)))
    found = quote(basket, offers, NO_TERMS, AT)
    assert [(lack.field, lack.code) for lack in found.requirements] == [
        ("/lines/0/sku", "unknown_sku"),
        ("/lines/2/sku", "not_on_sale"),
    ]
    assert ([line.sku for line in found.lines], found.total_minor) == (["MUG"], 2_000)


def test_an_empty_basket_costs_nothing_and_cannot_be_ordered() -> None:
    found = quote(Basket("GBP", ()), {}, NO_TERMS, AT)
    assert (found.total_minor, [lack.code for lack in found.requirements]) == (0, ["lines_required"])


def test_a_total_has_a_bound() -> None:
    crown = {"CROWN": Offer("CROWN", PRICE_MAX_MINOR, "GBP")}
    most = ORDER_MAX_TOTAL_MINOR // PRICE_MAX_MINOR
    for quantity, lacks in ((most, []), (most + 1, ["order_total_exceeded"])):
        found = quote(Basket("GBP", (Wanted("CROWN", quantity),)), crown, NO_TERMS, AT)
        assert [lack.code for lack in found.requirements] == lacks


def test_the_lowest_price_of_thirty_days_includes_what_stood_when_they_began() -> None:
    def days_ago(days: int) -> datetime:
        return AT - timedelta(days=days)

    assert lowest_price([], AT) is None
    assert lowest_price([(days_ago(400), 900)], AT) == 900
    assert lowest_price([(days_ago(400), 900), (days_ago(31), 1_000)], AT) == 1_000
    assert lowest_price([(days_ago(400), 900), (days_ago(29), 1_000)], AT) == 900
    assert lowest_price([(days_ago(40), 1_000), (days_ago(20), 700), (days_ago(10), 1_000)], AT) == 700
    assert lowest_price([(days_ago(40), 1_000), (days_ago(0), 500)], AT) == 1_000, "the reduction itself does not count"
    assert lowest_price([(days_ago(0), 500)], AT) is None
