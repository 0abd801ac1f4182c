"""The arithmetic of load tests: when arrivals are due, how long they took, and how work is split among processes."""

from itertools import pairwise
from random import Random
from statistics import fmean

import pytest

from loadtests.frame.arrivals import Arrivals, Stage, shares, since_ms


def drawn(arrivals: Arrivals, until: float = float("inf")) -> list[float]:
    times = []
    while (due := arrivals.next()) is not None and due < until:
        times.append(due)
    return times


def test_arrivals_come_at_their_rate_however_long_the_run() -> None:
    times = drawn(Arrivals([Stage(200.0)], random=Random(1)), until=50.0)
    assert len(times) == pytest.approx(10_000, rel=0.03)
    assert times == sorted(times)
    assert fmean(later - earlier for earlier, later in pairwise(times)) == pytest.approx(1 / 200, rel=0.03)


def test_gaps_are_those_of_independent_arrivals() -> None:
    times = drawn(Arrivals([Stage(100.0)], random=Random(2)), until=100.0)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    # Exponential: a share of 1/e is longer than the mean. Even gaps would have none or all.
    assert sum(gap > 1 / 100 for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.02)


def test_a_stage_begins_when_the_one_before_it_ends() -> None:
    stages = [Stage(10.0, 20.0), Stage(0.0, 5.0), Stage(100.0, 20.0)]
    times = drawn(Arrivals(stages, random=Random(3)))
    assert sum(time < 20 for time in times) == pytest.approx(200, rel=0.2)
    assert not [time for time in times if 20 <= time < 25]
    assert sum(25 <= time < 45 for time in times) == pytest.approx(2_000, rel=0.1)
    assert max(times) < 45


def test_the_number_of_arrivals_is_bounded() -> None:
    arrivals = Arrivals([Stage(50.0)], most=7, random=Random(4))
    assert not arrivals.over
    assert len(drawn(arrivals)) == 7
    assert arrivals.over
    assert arrivals.next() is None


@pytest.mark.parametrize("stages", [[], [Stage(0.0)]])
def test_without_arrivals_none_are_drawn(stages: list[Stage]) -> None:
    assert Arrivals(stages).next() is None


def test_a_time_counts_from_the_intended_start() -> None:
    """An arrival due at 10.0 that began at 12.0, because no user was free, and was done at 12.5 has taken 2.5 s."""
    assert since_ms(10.0, 12.5) == 2_500.0


@pytest.mark.parametrize(("whole", "parts"), [(10, 3), (2, 3), (0, 2), (10_000, 7)])
def test_the_parts_of_a_split_add_up(whole: int, parts: int) -> None:
    split = shares(whole, parts)
    assert len(split) == parts
    assert sum(split) == whole
    assert max(split) - min(split) <= 1
