"""Percentiles by nearest rank: always a measured value, never an interpolated one."""

from collections.abc import Sequence


def nearest_rank(ordered: Sequence[float], percent: float) -> float:
    """The value that `percent` (0..100) of `ordered`, which is sorted, do not exceed; 0.0 if it is empty."""
    if not ordered:
        return 0.0
    rank = max(1, -int(-len(ordered) * percent // 100))  # rounded up, from 1
    return ordered[rank - 1]
