"""The last ten minutes, for the beginning of a chart: a sample of the figures every few seconds. Pure: earlier orders
are passed in once, from the table of orders, and then each second's figures.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from gateway.realtime.statistics.figures import Minute, Past
from gateway.realtime.statistics.window import WINDOW_SECONDS
from gateway.views.sales import Sales

PAST_SECONDS: Final = 600
STEP_SECONDS: Final = 5


class _Sample(NamedTuple):
    at: int
    orders: int
    revenue_minor: Mapping[str, int]


class History:
    """Samples of the last PAST_SECONDS, STEP_SECONDS apart."""

    def __init__(self, sales: Sequence[Sales], since: int, now: int) -> None:
        """`sales` are all sales since a moment, by step; `now` is where they end (seconds of Unix time)."""
        self._samples: deque[_Sample] = deque(maxlen=PAST_SECONDS // STEP_SECONDS + 1)
        by_step: dict[int, list[Sales]] = {}
        for sold in sales:
            by_step.setdefault(sold.at, []).append(sold)
        end = now - now % STEP_SECONDS
        for at in range(end - PAST_SECONDS, end + 1, STEP_SECONDS):
            if at - WINDOW_SECONDS >= since:
                self._samples.append(_sample(at, by_step))

    def take(self, at: int, minute: Minute) -> None:
        """Takes the figures of this moment, if a step ends."""
        at -= at % STEP_SECONDS
        if not self._samples or at > self._samples[-1].at:
            self._samples.append(_Sample(at, minute.orders_per_minute, minute.revenue_minor_per_minute))

    def told(self) -> Past:
        """In the form that is sent."""
        currencies = sorted({currency for sample in self._samples for currency in sample.revenue_minor})
        return Past(
            at=[sample.at for sample in self._samples],
            orders_per_minute=[sample.orders for sample in self._samples],
            revenue_minor_per_minute={
                currency: [sample.revenue_minor.get(currency, 0) for sample in self._samples] for currency in currencies
            },
        )


def _sample(at: int, by_step: Mapping[int, Sequence[Sales]]) -> _Sample:
    orders, revenue = 0, Counter[str]()
    for begun in range(at - WINDOW_SECONDS, at, STEP_SECONDS):
        for sold in by_step.get(begun, ()):
            orders += sold.orders
            revenue[sold.currency] += sold.revenue_minor
    return _Sample(at, orders, revenue)
