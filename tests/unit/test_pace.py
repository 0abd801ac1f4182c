"""Deadlines that stretch with the machine, and helpers whose failure is not lost."""

import asyncio
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests import pace
from tests.beside import beside
from tests.system import eventually, eventually_seen


@pytest.fixture(autouse=True)
def _pace_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(pace, "_slowest", 0.0)
    yield
    monkeypatch.undo()


def measured(monkeypatch: pytest.MonkeyPatch, *factors: float) -> None:
    """Sets how many times slower than the reference the machine is, for each measurement."""
    coming = iter(factors)

    def run(*_: object, **__: object) -> None:
        clock.passed += next(coming) * pace.REFERENCE_SECONDS

    class Clock:
        passed = 0.0

        def perf_counter(self) -> float:
            return self.passed

        monotonic = staticmethod(time.monotonic)

    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    monkeypatch.setattr(subprocess, "run", run)


def test_a_slow_machine_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, 4.0)
    assert pace.seconds(5) == pytest.approx(20)
    assert pace.seconds(1) == pytest.approx(4), "it is measured once"


def test_a_fast_machine_has_no_less(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, 0.5)
    assert pace.seconds(5) == 5


def test_a_stalled_machine_is_not_waited_for_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, 1_000.0)
    assert pace.seconds(1) == pace.MAX_FACTOR


def test_a_machine_that_became_slow_is_noticed_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, 1.0, 10.0, 10.0)
    begun = time.monotonic()
    eventually("what takes longer", lambda: time.monotonic() > begun + 0.3, within_seconds=0.1)
    assert pace.factor() == pytest.approx(10)


def test_what_took_too_long_is_judged_by_the_pace_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, 1.0, 3.0, 2.0)
    assert pace.is_within(0.9, 1)
    assert pace.is_within(2.5, 1), "the machine has become slow meanwhile"
    assert not pace.is_within(3.5, 1)


def test_in_the_end_it_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, 1.0, 2.0, 2.0)
    with pytest.raises(AssertionError, match=r"what never comes: not within 0\.1 s \(0\.05 s on a machine 2\.0 times"):
        eventually("what never comes", lambda: False, within_seconds=0.05)


async def test_waiting_for_a_helper_reports_its_end() -> None:
    async def fails() -> None:
        raise LookupError("gone")

    async def never() -> bool:
        return False

    async def waits() -> None:
        async with beside(fails):
            with pytest.raises(LookupError, match="gone"):
                async with asyncio.timeout(60):
                    await eventually_seen("its work", never, within_seconds=600)

    with pytest.raises(LookupError, match="gone"):
        await waits()


async def test_a_helper_ends_with_its_block() -> None:
    steps: list[int] = []

    async def step() -> None:
        steps.append(len(steps))

    async def enough() -> bool:
        return len(steps) > 3

    async with beside(step):
        await eventually_seen("some steps", enough, within_seconds=10)
    taken = len(steps)
    await asyncio.sleep(0.05)
    assert len(steps) == taken
