"""When arrivals are due (an open model): people arrive at a rate, however slowly the system answers.

A stalled system does not slow them down, so latency is measured from the intended start, and includes the wait for a
free user to act for them. (Measuring from the send would hide a stall; this is known as coordinated omission.)
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from random import Random

import msgspec


class Stage(msgspec.Struct, frozen=True):
    """For `seconds`, arrivals come at `rate` a second on average."""

    rate: float
    seconds: float = inf


class Arrivals:
    """The times at which arrivals are due, in seconds from the beginning: a Poisson process, so the arrivals of several
    machines, each at its share of the rate, together form one at the whole rate."""

    def __init__(self, stages: Sequence[Stage], *, most: int | None = None, random: Random | None = None) -> None:
        """Arrivals end with the last stage, or after `most` of them."""
        self._stages = list(stages)
        self._left = inf if most is None else most
        self._random = random or Random()
        self._at = 0.0
        self._stage_ends = self._stages[0].seconds if self._stages else 0.0

    @property
    def over(self) -> bool:
        """Whether `most` arrivals have been drawn."""
        return self._left <= 0

    def next(self) -> float | None:
        """When the next arrival is due; None if there are no more."""
        if self._left <= 0:
            return None
        needed = self._random.expovariate(1.0)  # in arrivals, however fast they come
        while self._stages:
            rate = self._stages[0].rate
            if rate > 0 and needed <= (self._stage_ends - self._at) * rate:
                self._at += needed / rate
                self._left -= 1
                return self._at
            if self._stage_ends == inf:  # the rate of the last stage is 0
                return None
            needed -= (self._stage_ends - self._at) * rate
            self._at = self._stage_ends
            self._stages.pop(0)
            self._stage_ends += self._stages[0].seconds if self._stages else 0.0
        return None


def shares(whole: int, parts: int) -> list[int]:
    """`whole` split into parts that differ by one at most."""
    least, more = divmod(whole, parts)
    return [least + (number < more) for number in range(parts)]


def since_ms(intended: float, now: float) -> float:
    """The milliseconds from when it was meant to start (seconds of the same clock) to now."""
    return (now - intended) * 1000
