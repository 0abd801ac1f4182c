"""What one buyer pays for a SKU, shown before anything is in a basket: the quote's prices, and what they are shown
against."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.model import Offer, Price, Wanted
from domain.price_history import Priced
from domain.quote.basket import Basket
from domain.quote.places import Area, Place
from domain.quote.quoted import Remark
from domain.quote.quoting import quote
from domain.quote.terms import NO_TERMS, Terms
from domain.quote.terms.prices import PriceList
from domain.quote.terms.taxes import Taxes, TaxPolicy, TaxRate
from domain.quote.tiers import Tier, tiers
from domain.reductions import Reduction, reduction

AT: Final = datetime(2026, 11, 27, 12, tzinfo=UTC)
DAY: Final = timedelta(days=1)
SALE, MEMBERS, BULK = (UUID(int=number) for number in (1, 2, 3))
VAT: Final = Taxes("GB", (TaxRate("VAT", Area("GB"), "standard", 2_000),), TaxPolicy(included=True))


def offer(*prices: Price, on_sale: bool = True) -> Offer:
    return Offer("MUG", 1_000, "GBP", on_sale, prices)


def terms(*lists: PriceList, taxes: Taxes | None = None) -> Terms:
    return Terms({each.id: each for each in lists}, taxes=taxes)


def buyer(currency: str = "GBP", *groups: str, country: str | None = None, tax_exempt: bool = False) -> Basket:
    to = None if country is None else Place(country)
    return Basket(currency, (), groups=frozenset(groups), to=to, tax_exempt=tax_exempt)


def test_without_lists_there_is_one_tier_at_the_sku_s_own_price() -> None:
    assert tiers(offer(Price("EUR", 1_200)), buyer(), NO_TERMS, AT) == [Tier(1, 1_000, None)]
    assert tiers(offer(Price("EUR", 1_200)), buyer("EUR"), NO_TERMS, AT) == [Tier(1, 1_200, None)]


def test_a_quantity_begins_a_tier_if_it_changes_the_price_or_its_list() -> None:
    mug = offer(
        Price("GBP", 900, SALE), Price("GBP", 700, BULK, 10), Price("GBP", 700, BULK, 20), Price("GBP", 950, BULK, 30)
    )
    lists = terms(PriceList(SALE, "Sale"), PriceList(BULK, "Bulk", priority=1))
    assert tiers(mug, buyer(), lists, AT) == [Tier(1, 900, SALE), Tier(10, 700, BULK)]
    assert tiers(mug, buyer(), terms(), AT) == [Tier(1, 1_000, None)]


def test_what_is_sold_from_some_quantity_on_only_says_from_which() -> None:
    mug = offer(Price("JPY", 180, BULK, 5))
    assert tiers(mug, buyer("JPY"), terms(PriceList(BULK, "Bulk")), AT) == [Tier(5, 180, BULK)]


def test_lists_are_for_their_groups_countries_and_days() -> None:
    mug = offer(Price("GBP", 900, MEMBERS))
    for price_list, who, applies in (
        (PriceList(MEMBERS, "M", groups=frozenset({"gold"})), buyer("GBP", "gold"), True),
        (PriceList(MEMBERS, "M", groups=frozenset({"gold"})), buyer(), False),
        (PriceList(MEMBERS, "M", countries=frozenset({"DE"})), buyer(country="DE"), True),
        (PriceList(MEMBERS, "M", countries=frozenset({"DE"})), buyer(), False),
        (PriceList(MEMBERS, "M", starts_at=AT), buyer(), True),
        (PriceList(MEMBERS, "M", ends_at=AT), buyer(), False),
    ):
        assert tiers(mug, who, terms(price_list), AT) == [Tier(1, 900, MEMBERS) if applies else Tier(1, 1_000, None)]


def test_what_is_not_sold_says_why() -> None:
    for given_offer, who, code in (
        (offer(on_sale=False), buyer(), "not_on_sale"),
        (offer(), buyer("JPY"), "not_sold_in_currency"),
    ):
        found = tiers(given_offer, who, NO_TERMS, AT)
        assert isinstance(found, Remark)
        assert found.code == code


def test_who_pays_no_tax_is_shown_the_price_without_it() -> None:
    for who in (buyer(country="US"), buyer(country="GB", tax_exempt=True)):
        assert tiers(offer(), who, terms(taxes=VAT), AT) == [Tier(1, 833, None, 167)]
    assert tiers(offer(), buyer(country="GB"), terms(taxes=VAT), AT) == [Tier(1, 1_000, None)]


_ids = st.sampled_from([SALE, MEMBERS, BULK])
_prices = st.builds(
    Price, st.sampled_from(["GBP", "EUR"]), st.integers(0, 2_000), st.none() | _ids, st.sampled_from([1, 2, 5, 10])
)
_lists = st.lists(
    st.builds(
        PriceList,
        _ids,
        st.just("List"),
        st.integers(0, 2),
        st.sampled_from([frozenset[str](), frozenset({"gold"})]),
        st.sampled_from([frozenset[str](), frozenset({"DE"})]),
        st.sampled_from([None, AT - DAY, AT + DAY]),
        st.sampled_from([None, AT, AT + DAY]),
    ),
    max_size=3,
)


@given(st.lists(_prices, max_size=8), _lists, st.sampled_from(["GBP", "EUR"]), st.sampled_from([(), ("gold",)]))
@pytest.mark.parametrize(("country", "taxes"), [(None, None), ("DE", None), ("DE", VAT)])
def test_every_tier_has_the_unit_price_of_a_quote_for_its_quantity(
    country: str | None,
    taxes: Taxes | None,
    prices: list[Price],
    lists: list[PriceList],
    currency: str,
    groups: tuple[str, ...],
) -> None:
    mug, said, who = offer(*prices), terms(*lists, taxes=taxes), buyer(currency, *groups, country=country)
    found = tiers(mug, who, said, AT)
    shown = [] if isinstance(found, Remark) else found
    for quantity in range(1, 13):
        wanted = Basket(currency, (Wanted("MUG", quantity),), groups=who.groups, to=who.to)
        lines = quote(wanted, {"MUG": mug}, said, AT).lines
        tier = next((each for each in reversed(shown) if each.min_quantity <= quantity), None)
        assert [(line.unit_price_minor, line.price_list_id) for line in lines] == (
            [] if tier is None else [(tier.price_minor, tier.price_list_id)]
        )


BEFORE: Final = (Priced(AT - 90 * DAY, 1_200, "GBP"), Priced(AT - 10 * DAY, 1_000, "GBP"))
STARTED: Final = PriceList(SALE, "Sale", starts_at=AT - DAY)


def reduced(
    *prices: Price,
    sale: PriceList = STARTED,
    others: tuple[PriceList, ...] = (),
    history: tuple[Priced, ...] = BEFORE,
    who: Basket = buyer(),  # noqa: B008 - nobody changes it
    taxes: Taxes | None = None,
    put_at: datetime | None = None,
) -> Reduction:
    """What 800 on a sale's list is shown against, beside other prices."""
    mug, said = offer(Price("GBP", 800, SALE), *prices), terms(sale, *others, taxes=taxes)
    found = tiers(mug, who, said, AT)
    assert not isinstance(found, Remark)
    return reduction(found[0], mug, who, said, history, put_at)


def test_a_list_s_price_is_shown_against_the_own_price_and_the_lowest_of_the_days_before_the_list() -> None:
    assert reduced() == Reduction(1_000, 1_000)
    dearer = (Priced(AT - 90 * DAY, 950, "GBP"), BEFORE[1])
    assert reduced(history=dearer) == Reduction(1_000, 950)
    assert reduced(history=()) == Reduction(1_000, None), "nothing is known of the time before"
    since = (*BEFORE, Priced(AT - DAY / 2, 1_000, "GBP", 1_100))
    assert reduced(history=since) == Reduction(1_000, None), "of the days before the list too little is kept"
    assert reduced(sale=PriceList(SALE, "Always")) == Reduction(1_000, None)


def test_what_lists_said_before_their_prices_were_changed_is_not_known() -> None:
    assert reduced(put_at=AT) == Reduction(1_000, None)
    assert reduced(put_at=AT - 2 * DAY) == Reduction(1_000, 1_000)


def test_prices_of_lists_that_are_not_for_the_buyer_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, is_for = 0, PriceList.is_for

    def counted(price_list: PriceList, basket: Basket, at: datetime) -> bool:
        nonlocal asked
        asked += 1
        return is_for(price_list, basket, at)

    monkeypatch.setattr(PriceList, "is_for", counted)
    mug = offer(*(Price("GBP", 900 - number, MEMBERS, number) for number in range(1, 101)))
    members = terms(PriceList(MEMBERS, "Members", groups=frozenset({"gold"})))
    assert tiers(mug, buyer(), members, AT) == [Tier(1, 1_000, None)]
    assert asked <= 200


def test_other_lists_for_everybody_count_if_they_were_in_force_in_those_days() -> None:
    earlier = Price("GBP", 850, BULK)
    for other, lowest in (
        (PriceList(BULK, "Last week", starts_at=AT - 9 * DAY, ends_at=AT - 2 * DAY), 850),
        (PriceList(BULK, "Long ago", ends_at=AT - 31 * DAY), 1_000),
        (PriceList(BULK, "Later", starts_at=AT - DAY, ends_at=AT), 1_000),
        (PriceList(BULK, "Members", groups=frozenset({"gold"}), ends_at=AT - 2 * DAY), 1_000),
        (PriceList(BULK, "Elsewhere", countries=frozenset({"DE"}), ends_at=AT - 2 * DAY), 1_000),
    ):
        assert reduced(earlier, others=(other,)) == Reduction(1_000, lowest), other.name
    here = PriceList(BULK, "Here", countries=frozenset({"DE"}), ends_at=AT - 2 * DAY)
    assert reduced(earlier, others=(here,), who=buyer(country="DE")) == Reduction(1_000, 850)
    bulk, last = Price("GBP", 700, BULK, 2), PriceList(BULK, "Bulk", ends_at=AT - 2 * DAY)
    assert reduced(bulk, others=(last,)) == Reduction(1_000, 1_000), "what many cost is not what one costs"


def test_what_is_not_lower_or_without_its_tax_is_no_reduction() -> None:
    assert reduced(who=buyer(country="US"), taxes=VAT) == Reduction()
    mug, said = offer(Price("GBP", 1_000, SALE)), terms(STARTED)
    assert reduction(Tier(1, 1_000, SALE), mug, buyer(), said, BEFORE, None) == Reduction()
    assert reduction(Tier(1, 1_000, None), mug, buyer(), said, BEFORE, None) == Reduction()
