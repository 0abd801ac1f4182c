"""How many of an import's rows are in the mailboxes at once: whoever orders meanwhile waits behind them.

A large portion costs less for each row, and a small one holds up orders less. So a portion is as large as what was
lately applied within a bounded time, however fast the machine and however busy the shop: it doubles at most from one to
the next, and shrinks at once. Never below LEAST_ROWS: what takes long even so waits for something else, and fewer rows
would help nobody.
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
    """The pace of one import: no portion is meant to take longer than `seconds`."""

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
        """Notes how long it took until so many rows were applied. A quick remainder says nothing, and a slow one
        little: it waited for what everybody waits for."""
        if seconds > self._seconds:
            fitting = int(rows * self._seconds / seconds)
            if rows < self._rows:
                fitting = max(fitting, self._rows // 2)
            self._rows = max(LEAST_ROWS, fitting)
        elif rows >= self._rows:
            self._rows = int(self._rows * min(_GROWTH_MAX, self._seconds / max(seconds, _INSTANT)))
