"""What each kind of action takes off."""

from typing import Any
from uuid import UUID

import pytest

from domain.quote.actions import AnyAction
from domain.quote.actions.amounts import Fixed, Percent
from domain.quote.actions.buy_get import BuyGet
from domain.quote.actions.core import DELIVERY, ORDER, Action
from domain.quote.quoted import Quote
from domain.quote.terms.deliveries import Method, Rate
from domain.quote.worksheet import Items
from tests.quotes import CROCKERY, CUPS, LONDON, basket, promoted, promotion

POST = Method(UUID(int=50), "Post", rates=(Rate("GBP", 499),))
MUGS = Items(frozenset({"MUG"}))


def cuts(action: AnyAction, **lines: Any) -> list[int]:
    """What it takes off each line."""
    return [line.discount_minor for line in promoted(basket(**lines), promotion(1, action)).lines]


def test_a_percentage_of_each_line_is_rounded_once_a_line_half_up() -> None:
    assert cuts(Percent(percent_bp=1_500), CUP=1) == [50]  # 49.95
    assert cuts(Percent(percent_bp=1_500), CUP=10) == [500]  # 499.5, and not ten times 50
    assert cuts(Percent(percent_bp=5_000), CUP=1) == [167]  # 166.5


def test_a_percentage_across_lines_is_rounded_once_in_all() -> None:
    assert cuts(Percent(percent_bp=1_000), CUP=1, TOY=1) == [33, 40]
    assert cuts(Percent(percent_bp=1_050), CUP=1, TOY=1) == [35, 42]  # 34.965 and 42
    assert cuts(Percent(percent_bp=1_050, across=True), CUP=1, TOY=1) == [35, 42]  # 76.965
    assert cuts(Percent(percent_bp=50, across=True), CUP=1, TOY=1) == [2, 2]  # 3.665, of 1.67 and 2


def test_a_percentage_of_the_order_is_shared_by_largest_remainder() -> None:
    assert cuts(Percent(percent_bp=1_000, target=ORDER), CUP=1, MUG=1, TOY=1) == [33, 100, 40]  # 173.3
    assert cuts(Percent(percent_bp=333, target=ORDER), CUP=1, MUG=1, TOY=1) == [11, 34, 13]  # 57.7: 11.1, 33.5, 13.4


def test_an_amount_off_each_piece_is_never_more_than_the_piece() -> None:
    assert cuts(Fixed(amounts_minor={"GBP": 100}), CUP=3, MUG=1) == [300, 100]
    assert cuts(Fixed(amounts_minor={"GBP": 400}), CUP=3, MUG=1) == [999, 400]


def test_an_amount_across_lines_is_taken_once() -> None:
    off = Fixed(amounts_minor={"GBP": 100}, across=True, items=Items(category_ids=frozenset({CUPS})))
    assert cuts(off, CUP=3, MUG=1, PAN=1) == [50, 50, 0]


def test_an_amount_off_the_order_is_shared_and_never_more_than_the_order() -> None:
    assert cuts(Fixed(amounts_minor={"GBP": 100}, target=ORDER), CUP=1, MUG=1) == [25, 75]  # 24.98 and 75.02
    assert cuts(Fixed(amounts_minor={"GBP": 9_999}, target=ORDER), CUP=1, MUG=1) == [333, 1_000]


def test_an_amount_is_of_a_currency() -> None:
    off = promotion(1, Fixed(amounts_minor={"EUR": 100}))
    assert promoted(basket("EUR", MUG=1), off).discount_minor == 100
    refused = promoted(basket(MUG=1), off)
    assert (refused.discount_minor, [said.code for said in refused.remarks]) == (0, ["not_in_currency"])


def test_only_so_many_pieces_are_reduced_and_the_cheapest_first() -> None:
    assert cuts(Percent(percent_bp=5_000, max_quantity=3), MUG=2, CUP=2) == [500, 333]
    assert cuts(Fixed(amounts_minor={"GBP": 100}, max_quantity=1), MUG=2, CUP=2) == [0, 100]
    assert cuts(Percent(percent_bp=5_000, max_quantity=9), MUG=1) == [500]


def test_items_are_named_by_sku_product_or_category() -> None:
    half = 5_000
    assert cuts(Percent(percent_bp=half, items=MUGS), MUG=1, CUP=1, PAN=1) == [500, 0, 0]
    assert cuts(Percent(percent_bp=half, items=Items(product_ids=frozenset({CROCKERY}))), MUG=1, CUP=1, PAN=1) == [
        500,
        167,
        0,
    ]
    assert cuts(Percent(percent_bp=half, items=Items(category_ids=frozenset({CUPS}))), MUG=1, CUP=1, PAN=1) == [
        500,
        167,
        0,
    ]


def delivered(action: AnyAction) -> Quote:
    wanted = basket(MUG=1, to=LONDON, method_id=POST.id)
    return promoted(wanted, promotion(1, action), methods=(POST,))


@pytest.mark.parametrize(
    ("action", "left"),
    [
        (Percent(percent_bp=2_500, target=DELIVERY), 374),  # 124.75 off
        (Percent(percent_bp=10_000, target=DELIVERY), 0),
        (Fixed(amounts_minor={"GBP": 199}, target=DELIVERY), 300),
        (Fixed(amounts_minor={"GBP": 800}, target=DELIVERY), 0),
    ],
)
def test_a_delivery_is_reduced_by_itself(action: AnyAction, left: int) -> None:
    found = delivered(action)
    assert found.delivery is not None
    assert (found.delivery.amount_minor, found.delivery.gross_minor, found.total_minor) == (499, left, 1_000 + left)


def test_three_for_the_price_of_two() -> None:
    action = BuyGet(2)
    assert cuts(action, MUG=2) == [0]
    assert cuts(action, MUG=3) == [1_000]
    assert cuts(action, MUG=5) == [1_000]
    assert cuts(action, MUG=6) == [2_000]
    assert cuts(action, MUG=2, CUP=1) == [0, 333]
    assert cuts(action, MUG=5, CUP=1) == [1_000, 333]


def test_buy_some_and_get_others_cheaper() -> None:
    action = BuyGet(2, 1, MUGS, Items(frozenset({"PAN", "TOY"})), 5_000)
    assert cuts(action, MUG=1, PAN=1) == [0, 0]
    assert cuts(action, MUG=2, PAN=1) == [0, 2_500]  # 2,499.5
    assert cuts(action, MUG=2, PAN=1, TOY=1) == [0, 0, 200]
    assert cuts(action, MUG=4, PAN=1, TOY=1) == [0, 2_500, 200]


def test_no_piece_is_both_bought_and_got() -> None:
    action = BuyGet(2, 1, Items(frozenset({"MUG", "CUP"})), Items(frozenset({"CUP", "TOY"})))
    assert cuts(action, CUP=2) == [0]
    assert cuts(action, CUP=3) == [333]
    assert cuts(action, CUP=2, TOY=1) == [0, 400], "both cups are bought, so only the toy can be got"
    assert cuts(action, MUG=2, CUP=1, TOY=1) == [0, 333, 0]


def test_it_may_be_had_only_so_many_times() -> None:
    assert cuts(BuyGet(2, times=1), MUG=9) == [1_000]
    assert cuts(BuyGet(2, times=2), MUG=9) == [2_000]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Percent(percent_bp=0),
        lambda: Percent(percent_bp=10_001),
        lambda: Percent(percent_bp=1, target="cart"),
        lambda: Percent(percent_bp=1, target=ORDER, items=MUGS),
        lambda: Percent(percent_bp=1, target=DELIVERY, max_quantity=1),
        lambda: Percent(percent_bp=1, across=True, max_quantity=1),
        lambda: Percent(percent_bp=1, max_quantity=0),
        lambda: Fixed(amounts_minor={}),
        lambda: Fixed(amounts_minor={"GBP": 0}),
        lambda: BuyGet(0),
        lambda: BuyGet(1, 0),
        lambda: BuyGet(1, times=0),
        lambda: BuyGet(1, percent_bp=0),
    ],
)
def test_contradictory_actions_cannot_be_constructed(wrong: type[Action]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        wrong()
