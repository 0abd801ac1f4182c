"""How long tests may wait here. Every deadline of a test, pytest's own among them, is written for a machine that does a
fixed piece of work in REFERENCE_SECONDS, and is stretched by as much as this one takes longer.

It is measured when first asked for, and once more whenever a deadline has passed: a machine that was idle at the start
may be busy by then. A deadline only decides when a test gives up, so a longer one costs nothing where all is well.
"""

import asyncio
import subprocess
import sys
import time
from typing import Final

# What `_PROGRAM` takes on an idle core of an ordinary server of 2025.
REFERENCE_SECONDS: Final = 0.15
# Slower than this, something is wrong with the machine, and not with its speed.
MAX_FACTOR: Final = 30.0

# What systems under test do most: start processes, import modules, run Python.
_PROGRAM: Final = "import asyncio, decimal, http.client, json; sum(n * n for n in range(500_000))"

_slowest = 0.0


def factor() -> float:
    """How many times longer than the reference this machine takes, at least 1: the worst that was measured so far."""
    return _slowest or measure()


def measure() -> float:
    """Measures once more, and returns `factor()`. Takes a fraction of a second, during which nothing else runs here."""
    global _slowest
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", _PROGRAM], check=True)
    taken = time.perf_counter() - begun
    _slowest = max(_slowest, 1.0, min(taken / REFERENCE_SECONDS, MAX_FACTOR))
    return _slowest


def seconds(at_full_speed: float) -> float:
    """So many seconds of the reference machine in seconds of this one."""
    return at_full_speed * factor()


def timeout(at_full_speed: float) -> asyncio.Timeout:
    """`asyncio.timeout`, stretched."""
    return asyncio.timeout(seconds(at_full_speed))


class Patience:
    """A deadline for something that is looked for again and again."""

    def __init__(self, at_full_speed: float) -> None:
        self._seconds = at_full_speed
        self._begun = time.monotonic()

    def is_over(self) -> bool:
        """Whether it has passed, also when the machine is measured anew."""
        if time.monotonic() < self._begun + seconds(self._seconds):
            return False
        measure()
        return time.monotonic() >= self._begun + seconds(self._seconds)

    def __str__(self) -> str:
        return f"{seconds(self._seconds):.1f} s ({self._seconds:g} s on a machine {factor():.1f} times as fast)"
