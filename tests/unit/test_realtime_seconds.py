"""The figures are sent once in each second of the clock, whatever clock the timers go by."""

import time

import pytest

from gateway.realtime.statistics.stats import next_second


async def test_no_second_comes_twice_though_the_clock_is_slower_than_the_timers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, begun = time.time, time.time()
    monkeypatch.setattr(time, "time", lambda: begun + 0.9 * (real() - begun))
    before = int(time.time())
    await next_second()
    assert int(time.time()) == before + 1
