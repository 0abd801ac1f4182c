"""Rounding and splitting of amounts, in whole minor units: the only places where anything is rounded.

Shares always add up to the amount: they are allotted by largest remainder (Hamilton's method). The same weights always
give the same shares, so a split can be repeated from stored weights.
"""

from collections.abc import Sequence
from typing import Final

BASIS_POINTS: Final = 10_000
"""100 % in basis points; 1 % is 100 basis points."""
MILLION: Final = 1_000_000
"""100 % in parts per million, as taxes are counted; 1 % is 10,000 parts per million."""


def half_up(numerator: int, denominator: int) -> int:
    """The quotient of two non-negative amounts, rounded to the nearest whole number, halves up."""
    return (2 * numerator + denominator) // (2 * denominator)


def percent_of(amount: int, percent_bp: int) -> int:
    """That many basis points of the amount, rounded half up."""
    return (2 * amount * percent_bp + BASIS_POINTS) // (2 * BASIS_POINTS)


def shares(amount: int, weights: Sequence[int]) -> list[int]:
    """The non-negative amount, split in proportion to the weights. The units that are left over go one each to the
    largest remainders, the first among equals. No share differs from the exact one by a whole unit, and a weight of 0
    gets nothing. The weights must not all be 0 if there is anything to split."""
    whole = sum(weights)
    if amount == 0:
        return [0] * len(weights)
    exact = [divmod(amount * weight, whole) for weight in weights]
    split = [quotient for quotient, _ in exact]
    if left := amount - sum(split):
        order = sorted(range(len(weights)), key=lambda place: -exact[place][1])
        for place in order[:left]:
            split[place] += 1
    return split


def portion(amount: int, pieces: int, before: int, now: int) -> int:
    """The part of a line's amount for `now` of its pieces, after `before` of them have been settled. The portions of
    all its pieces add up to the amount, however they are grouped."""
    assert 0 <= before <= before + now <= pieces, "no more pieces than the line has"
    return half_up(amount * (before + now), pieces) - half_up(amount * before, pieces)
