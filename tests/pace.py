"""How long tests may wait here. Every deadline of a test, including pytest's own, is written for a machine that does a
fixed piece of work in REFERENCE_SECONDS, and is stretched by the factor by which this machine is slower.

The factor is measured when first needed, and again whenever a deadline has passed: a machine that was idle at the start
may be busy by then. A deadline only decides when a test gives up, so a longer one costs nothing if all is well.
"""

import asyncio
import subprocess
import sys
import time
from typing import Final

# How long `_PROGRAM` takes on an idle core of an ordinary server of 2025.
REFERENCE_SECONDS: Final = 0.15
# Beyond this, something other than its speed is wrong with the machine.
MAX_FACTOR: Final = 30.0

# What systems under test mostly do: start processes, import modules, run Python.
_PROGRAM: Final = "import asyncio, decimal, http.client, json; sum(n * n for n in range(500_000))"

_slowest = 0.0


def factor() -> float:
    """How many times slower than the reference this machine is, at least 1: the worst measured so far."""
    return _slowest or measure()


def measure() -> float:
    """Measures again, and returns `factor()`. Takes a fraction of a second, during which nothing else runs here."""
    global _slowest
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", _PROGRAM], check=True)
    taken = time.perf_counter() - begun
    _slowest = max(_slowest, 1.0, min(taken / REFERENCE_SECONDS, MAX_FACTOR))
    return _slowest


def seconds(at_full_speed: float) -> float:
    """Seconds of the reference machine, in seconds of this one."""
    return at_full_speed * factor()


def is_within(taken: float, at_full_speed: float) -> bool:
    """Whether something that took this many seconds was quick enough, measuring the machine again if it was not."""
    if taken < seconds(at_full_speed):
        return True
    measure()
    return taken < seconds(at_full_speed)


def timeout(at_full_speed: float) -> asyncio.Timeout:
    """`asyncio.timeout`, stretched."""
    return asyncio.timeout(seconds(at_full_speed))


class Patience:
    """A deadline for something that is looked for repeatedly."""

    def __init__(self, at_full_speed: float) -> None:
        self._seconds = at_full_speed
        self._begun = time.monotonic()

    def is_over(self) -> bool:
        """Whether it has passed, even after measuring the machine again."""
        if time.monotonic() < self._begun + seconds(self._seconds):
            return False
        measure()
        return time.monotonic() >= self._begun + seconds(self._seconds)

    def __str__(self) -> str:
        return f"{seconds(self._seconds):.1f} s ({self._seconds:g} s on a machine {factor():.1f} times as fast)"
