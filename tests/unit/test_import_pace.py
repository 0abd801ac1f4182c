"""The pace of an import: large portions while they are quick, small ones as soon as they are not."""

import pytest

from workers.jobs import pacing
from workers.jobs.pacing import FIRST_ROWS, LEAST_ROWS, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pacing, "monotonic", clock)
    return clock


def sizes(pace: Pace, clock: Clock, rows: int, rows_per_second: float) -> list[int]:
    """The sizes of the portions of this many rows, at this many applied rows a second."""
    found: list[int] = []
    given: list[int] = []
    for portion in pace.portions(range(rows)):
        found.append(len(portion))
        given.extend(portion)
        clock.now += len(portion) / rows_per_second
    assert given == list(range(rows))
    return found


def test_portions_double_until_they_take_as_long_as_they_may(clock: Clock) -> None:
    found = sizes(Pace(0.5), clock, 10_000, 4_000)
    assert found[:7] == [FIRST_ROWS, 128, 256, 512, 1024, 2000, 2000]
    assert sum(found) == 10_000


def test_a_portion_that_took_too_long_is_followed_by_one_that_fits(clock: Clock) -> None:
    pace = Pace(0.5)
    sizes(pace, clock, 10_000, 4_000)
    slow = sizes(pace, clock, 3_000, 400)
    assert slow[:3] == [2000, 200, 200]


def test_a_quick_remainder_makes_the_next_ones_no_smaller(clock: Clock) -> None:
    pace = Pace(0.5)
    sizes(pace, clock, 8_000, 4_000)
    assert sizes(pace, clock, 10, 100) == [10]
    assert sizes(pace, clock, 4_000, 4_000) == [2000, 2000]


def test_portions_stay_large_enough_to_get_on(clock: Clock) -> None:
    pace = Pace(0.5)
    assert sizes(pace, clock, FIRST_ROWS + 40, 1) == [FIRST_ROWS, LEAST_ROWS, LEAST_ROWS, 8]


def test_an_import_gets_on_though_everybody_waits_for_something_else(clock: Clock) -> None:
    """However few rows a portion has, it takes a second: they are not what takes so long."""
    pace, found = Pace(0.5), []
    for portion in pace.portions(range(1_000)):
        found.append(len(portion))
        clock.now += 1.0
    assert min(found[:-1]) == LEAST_ROWS
    assert sizes(pace, clock, 10_000, 4_000)[-2] == 2000


def test_a_slow_remainder_halves_the_next_ones_at_most(clock: Clock) -> None:
    pace = Pace(0.5)
    sizes(pace, clock, 8_000, 4_000)
    assert sizes(pace, clock, 3, 5) == [3]
    assert sizes(pace, clock, 4_000, 4_000)[0] == 1000
