"""Adapts how many of an import's rows are in the mailboxes at once, because orders wait behind them.

A large portion costs less per row, but a small one delays orders less. So a portion is sized to be applied within a
bounded time, whatever the machine and the load: from one portion to the next the size at most doubles, but it shrinks
at once. It never falls below LEAST_ROWS: if even that takes long, the cause is something else, and fewer rows would not
help.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Final, TypeVar

FIRST_ROWS: Final = 64
LEAST_ROWS: Final = 16
_GROWTH_MAX: Final = 2.0
_INSTANT: Final = 1e-6

T = TypeVar("T")


class Pace:
    """The pace of one import: a portion should take no longer than `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._rows = FIRST_ROWS

    def portions(self, rows: Sequence[T]) -> Iterator[Sequence[T]]:
        """The rows, in order, in portions. Each is timed from when it is given out until the next one is asked for."""
        start = 0
        while start < len(rows):
            portion, began = rows[start : start + self._rows], monotonic()
            yield portion
            self.took(len(portion), monotonic() - began)
            start += len(portion)

    def took(self, rows: int, seconds: float) -> None:
        """Notes how long it took to apply a portion of this many rows. A quick remainder says nothing about larger
        portions, and a slow one little, because it may have waited for other work."""
        if seconds > self._seconds:
            fitting = int(rows * self._seconds / seconds)
            if rows < self._rows:
                fitting = max(fitting, self._rows // 2)
            self._rows = max(LEAST_ROWS, fitting)
        elif rows >= self._rows:
            self._rows = int(self._rows * min(_GROWTH_MAX, self._seconds / max(seconds, _INSTANT)))
