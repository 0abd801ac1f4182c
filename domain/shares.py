"""Rounding and splitting of amounts, in whole minor units: the only places where anything is rounded.

What is split adds up again: shares go by largest remainder (Hamilton's method), and the same weights give the same
shares for ever. So whoever stores the weights can repeat the split.
"""

from collections.abc import Sequence
from typing import Final

BASIS_POINTS: Final = 10_000
"""A whole, as percentages count it: 1 % is 100 basis points."""
MILLION: Final = 1_000_000
"""A whole, as taxes count it: 1 % is 10,000 parts per million."""


def half_up(numerator: int, denominator: int) -> int:
    """The quotient of two amounts, neither of them negative, rounded to the nearest whole, and a half upwards."""
    return (2 * numerator + denominator) // (2 * denominator)


def percent_of(amount: int, percent_bp: int) -> int:
    """That many basis points of the amount, rounded half up."""
    return (2 * amount * percent_bp + BASIS_POINTS) // (2 * BASIS_POINTS)


def shares(amount: int, weights: Sequence[int]) -> list[int]:
    """The amount, which is not negative, split in proportion to the weights. The units that are left over go one each
    to the largest remainders, and among equal ones to the first. Nobody's share exceeds his exact one by a whole unit,
    and a weight of 0 gets nothing. The weights must not all be 0 if there is anything to split."""
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
    """What of a line's amount belongs to `now` of its pieces, when `before` of them were settled earlier. The portions
    of all its pieces, however they are taken, add up to the amount."""
    assert 0 <= before <= before + now <= pieces, "no more pieces than the line has"
    return half_up(amount * (before + now), pieces) - half_up(amount * before, pieces)
