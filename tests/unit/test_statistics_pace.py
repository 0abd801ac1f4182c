"""How often the live figures look something up: seldom if it takes long, also if it then fails."""

import time
from contextlib import suppress

import pytest

from gateway.realtime.statistics.pace import Pace


@pytest.mark.parametrize("fails", [False, True])
def test_a_look_that_took_long_is_not_repeated_soon(monkeypatch: pytest.MonkeyPatch, *, fails: bool) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    looks = Pace()
    assert looks.is_due()
    with suppress(TimeoutError), looks.looking():
        now += 10
        if fails:
            raise TimeoutError
    assert looks.has_looked is not fails
    now = 299.0
    assert not looks.is_due()
    now = 300.0
    assert looks.is_due()
