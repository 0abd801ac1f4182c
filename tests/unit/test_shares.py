"""Rounding and splitting, against exact fractions."""

from fractions import Fraction
from math import floor

from hypothesis import example, given
from hypothesis import strategies as st

from domain.limits import ORDER_MAX_TOTAL_MINOR
from domain.shares import half_up, percent_of, portion, shares

amounts = st.integers(0, ORDER_MAX_TOTAL_MINOR) | st.integers(0, 200)
weights = st.lists(amounts, min_size=1, max_size=12)


def rounded(exact: Fraction) -> int:
    return floor(exact + Fraction(1, 2))


@given(amounts, st.integers(1, 10**6))
@example(1, 2)
@example(3, 2)
def test_halves_are_rounded_up(numerator: int, denominator: int) -> None:
    assert half_up(numerator, denominator) == rounded(Fraction(numerator, denominator))


@given(amounts, st.integers(0, 10_000))
@example(50, 100)
def test_a_percentage_is_rounded_once(amount: int, percent_bp: int) -> None:
    assert percent_of(amount, percent_bp) == rounded(amount * Fraction(percent_bp, 10_000))


@given(amounts, weights)
@example(100, [1, 1, 1])
@example(1, [0, 0, 1])
def test_shares_add_up_and_are_within_a_unit_of_the_exact_ones(amount: int, weights: list[int]) -> None:
    if not sum(weights):
        amount = 0
    split = shares(amount, weights)
    assert sum(split) == amount
    for share, weight in zip(split, weights, strict=True):
        exact = Fraction(amount * weight, sum(weights) or 1)
        assert floor(exact) <= share < exact + 1


@given(amounts, weights)
def test_the_largest_remainders_get_the_extra_units(amount: int, weights: list[int]) -> None:
    if not sum(weights):
        return
    owed = [Fraction(amount * weight, sum(weights)) % 1 for weight in weights]
    got = [
        share - amount * weight // sum(weights) for share, weight in zip(shares(amount, weights), weights, strict=True)
    ]
    for place, (more, owing) in enumerate(zip(got, owed, strict=True)):
        for later, (other_more, other_owing) in enumerate(zip(got, owed, strict=True)):
            if more > other_more:
                assert (owing, -place) > (other_owing, -later)


@given(amounts, st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_the_portions_of_all_pieces_are_the_whole(amount: int, taken: list[int]) -> None:
    pieces, before, given_back = sum(taken) or 1, 0, []
    for now in taken:
        given_back.append(portion(amount, pieces, before, now))
        before += now
    assert min(given_back) >= 0
    assert sum(given_back) == (amount if before == pieces else 0)
