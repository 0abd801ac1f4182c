"""The token bucket: its burst, its rate, and how long to wait."""

import asyncio
import time

import pytest

from gateway.server.rate import Allowance


class Clock:
    """Time that passes only in `sleep`."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(asyncio, "sleep", clock.sleep)
    return clock


def test_a_burst_passes_and_then_the_rate(clock: Clock) -> None:
    allowance = Allowance(per_second=2, burst=3)
    assert [allowance.take() for _ in range(5)] == [True, True, True, False, False]
    clock.now += 1
    assert [allowance.take() for _ in range(3)] == [True, True, False]


def test_it_never_holds_more_than_a_burst(clock: Clock) -> None:
    allowance = Allowance(per_second=2, burst=3)
    clock.now += 1_000
    assert [allowance.take() for _ in range(4)] == [True, True, True, False]


async def test_an_overdraft_has_to_be_waited_for(clock: Clock) -> None:
    allowance = Allowance(per_second=10, burst=10)
    allowance.spend(10)
    await allowance.until_paid()
    assert clock.slept == []
    allowance.spend(25)
    await allowance.until_paid()
    assert sum(clock.slept) == pytest.approx(2.5)
