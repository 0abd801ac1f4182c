"""Metrics for what happens too often to update the library's each time: it is noted in plain numbers, which every
heartbeat adds up. If a process is killed, what it noted in its last second is lost.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from prometheus_client import Counter, Histogram

_noted: Final[list[NotedCounter | NotedHistogram]] = []


class NotedCounter(Counter):
    """A counter that is noted first."""

    _waiting = 0

    def note(self, amount: int = 1) -> None:
        """Notes an increase."""
        if not self._waiting:
            _noted.append(self)
        self._waiting += amount

    def settle(self) -> None:
        """Counts what was noted."""
        waiting, self._waiting = self._waiting, 0
        self.inc(waiting)


class NotedHistogram(Histogram):
    """A histogram that is noted first."""

    _waiting: list[int] | None = None
    _waiting_sum = 0.0

    def note(self, amount: float) -> None:
        """Notes an observation."""
        if self._waiting is None:
            self._waiting = [0] * len(self._upper_bounds)
            _noted.append(self)
        self._waiting[bisect_left(self._upper_bounds, amount)] += 1
        self._waiting_sum += amount

    def settle(self) -> None:
        """Counts what was noted."""
        for bucket, count in enumerate(self._waiting or ()):
            if count:
                self._buckets[bucket].inc(count)
        self._sum.inc(self._waiting_sum)
        self._waiting, self._waiting_sum = None, 0.0


def settle() -> None:
    """Counts everything that was noted."""
    while _noted:
        _noted.pop().settle()
