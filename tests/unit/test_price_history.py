"""The lowest price of the 30 days before a reduction, from what a variant keeps of its past."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.catalogue import ACTIVE, CreateProduct, ProductFields, SetVariant, Variant, VariantFields
from domain.limits import PRICE_HISTORY_MAX
from domain.model import Actor, Context, Rejection, Shop, decide, evolve
from domain.price_history import Priced, history_of, lowest_before
from domain.quote.terms.prices import lowest_price

AT: Final = datetime(2026, 11, 27, 12, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
DAYS_30: Final = timedelta(days=30)
PRODUCT: Final = UUID(int=7)
ADMIN: Final = Actor.in_role("root", "admin")


def told(*prices: tuple[datetime, int, int | None]) -> tuple[Priced, ...]:
    """The history after these prices: when, how much, compared with what."""
    history: tuple[Priced, ...] = ()
    before = None
    for at, price_minor, compare_at_minor in prices:
        now = Priced(at, price_minor, "GBP", compare_at_minor)
        history = history_of(history, before, now)
        before = now
    return history


def shown(*prices: tuple[datetime, int, int | None]) -> int | None:
    _, price_minor, compare_at_minor = prices[-1]
    return lowest_before(told(*prices), price_minor, "GBP", compare_at_minor)


@pytest.mark.parametrize(
    ("cheap_until", "lowest"),
    [(AT - DAYS_30 - SECOND, 1_000), (AT - DAYS_30, 1_000), (AT - DAYS_30 + SECOND, 700)],
)
def test_a_price_counts_if_it_stood_within_the_days_and_only_then(cheap_until: datetime, lowest: int) -> None:
    ages_ago = AT - timedelta(days=400)
    assert shown((ages_ago, 700, None), (cheap_until, 1_000, None), (AT, 800, 1_000)) == lowest


def test_nothing_is_shown_where_nothing_is_reduced_or_known() -> None:
    assert shown((AT - DAYS_30, 1_000, None), (AT, 800, None)) is None
    assert shown((AT, 800, 1_000)) is None
    assert lowest_before((), 800, "GBP", 1_000) is None
    assert lowest_before(told((AT, 800, 1_000)), 801, "GBP", 1_000) is None, "the history is of another price"


def test_a_reduction_that_is_only_claimed_is_shown_against_the_price_itself() -> None:
    assert shown((AT - DAYS_30, 800, None), (AT, 800, 1_000)) == 800


def test_a_price_of_before_the_histories_stood_for_ever() -> None:
    before = Priced(AT, 900, "GBP")
    history = history_of((), before, Priced(AT, 800, "GBP", 1_000))
    assert lowest_before(history, 800, "GBP", 1_000) == 900


def test_prices_in_another_currency_are_no_prices_in_this_one() -> None:
    history = history_of((), Priced(AT, 1, "JPY"), Priced(AT, 800, "GBP", 1_000))
    assert lowest_before(history, 800, "GBP", 1_000) is None


def test_a_history_is_bounded_and_forgets_no_low_price() -> None:
    prices = [(AT + timedelta(minutes=n), 500 if n == 3 else 1_000 + n, None) for n in range(10 * PRICE_HISTORY_MAX)]
    history = told(*prices)
    assert len(history) == PRICE_HISTORY_MAX
    assert shown(*prices, (AT + DAYS_30, 900, 2_000)) == 500


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 9), st.sampled_from((None, 10))), min_size=2, max_size=40))
def test_the_bounded_history_gives_the_same_lowest_price_as_the_full_one(
    days: list[tuple[int, int, int | None]],
) -> None:
    prices = [(AT + timedelta(days=day), price, compare) for day, price, compare in sorted(days, key=lambda it: it[0])]
    history = told(*prices)
    _, price_minor, compare_at_minor = prices[-1]
    began = history[-1].at
    whole = lowest_price(((at, price) for at, price, _ in prices), began)
    expected = None if compare_at_minor is None else whole
    assert lowest_before(history, price_minor, "GBP", compare_at_minor) == expected


def test_a_variant_carries_its_history_through_the_log() -> None:
    shop = Shop()
    fields = VariantFields("MUG", 1_000, "GBP")
    create = CreateProduct(PRODUCT, ProductFields("mug", "Mug", status=ACTIVE), (fields,))
    replace = msgspec.structs.replace
    for days, command in (
        (0, create),
        (10, SetVariant(PRODUCT, replace(fields, title="Blue"))),
        (20, SetVariant(PRODUCT, replace(fields, price_minor=700))),
        (25, SetVariant(PRODUCT, replace(fields, price_minor=900, compare_at_minor=1_000))),
    ):
        decision = decide(shop, command, Context(ADMIN, AT + timedelta(days=days)))
        assert not isinstance(decision, Rejection)
        for event in decision:
            evolve(shop, event)
    variant = shop.of(Variant)["MUG"]
    assert [(one.at - AT).days for one in variant.price_history] == [0, 20, 25]
    assert lowest_before(variant.price_history, 900, "GBP", 1_000) == 700
