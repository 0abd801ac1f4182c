"""Metrics whose labels have closed sets of values, given with `allow`; any other value counts as `other`. So a client
cannot create a time series with a value that it makes up (a method, a path, a code).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple, Self

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

# `multiprocess` decides where values are kept, so it must be imported before the first metric is created.
from runtime.metrics import multiprocess as multiprocess

OTHER: Final = "other"


class Closed:
    """Restricts a metric's labels to closed sets of values. The library constructs an object of the same class for each
    combination of values, so the sets are kept in an attribute, not passed to the constructor. Finding such an object
    takes the library longer than counting with it, so those whose values are all allowed are remembered."""

    _name: str
    _labelnames: Sequence[str]
    _allowed: tuple[set[str], ...] = ()
    _found: dict[tuple[object, ...], Self] | None = None

    def allow(self, **values: Iterable[str]) -> Self:
        """Adds values that these labels may have."""
        for name, allowed in values.items():
            self._sets()[self._labelnames.index(name)].update(allowed)
        return self

    def allowed(self, name: str) -> frozenset[str]:
        """The values that the label may have."""
        return frozenset({OTHER, *self._sets()[self._labelnames.index(name)]})

    def labels(self, *labelvalues: object, **labelkwargs: object) -> Self:
        """The metric for these values; any that are not allowed count as `other`."""
        if self._found is None:
            self._found = {}
        elif (known := self._found.get(labelvalues)) is not None:
            return known
        values = labelvalues or [labelkwargs[name] for name in self._labelnames]
        pairs = zip(map(str, values), self._sets(), strict=True)
        counted = tuple(value if value in allowed else OTHER for value, allowed in pairs)
        found: Self = super().labels(*counted)  # type: ignore[misc]
        if counted == labelvalues:  # so the sets bound how many are remembered
            self._found[labelvalues] = found
        return found

    def _sets(self) -> tuple[set[str], ...]:
        if not self._allowed:
            self._allowed = tuple(set[str]() for _ in self._labelnames)
        return self._allowed


class ClosedCounter(Closed, Counter):
    """A counter whose labels have closed sets of values."""


class ClosedGauge(Closed, Gauge):
    """A gauge whose labels have closed sets of values."""


class ClosedHistogram(Closed, Histogram):
    """A histogram whose labels have closed sets of values."""


class BatchHistogram(Histogram):
    """A histogram that records a batch of observations at once, by bucket instead of one by one."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """Observes every amount."""
        counts: dict[int, int] = {}
        for amount in amounts:
            bucket = bisect_left(self._upper_bounds, amount)
            counts[bucket] = counts.get(bucket, 0) + 1
        for bucket, count in counts.items():
            self._buckets[bucket].inc(count)
        self._sum.inc(sum(amounts))


class Asked(NamedTuple):
    """A metric that no process keeps: its values are queried at each scrape."""

    name: str
    documentation: str
    labels: tuple[str, ...] = ()
    type: Literal["gauge", "counter"] = "gauge"

    def family(self) -> GaugeMetricFamily | CounterMetricFamily:
        """The metric's family, without samples."""
        kind = GaugeMetricFamily if self.type == "gauge" else CounterMetricFamily
        return kind(self.name, self.documentation, labels=self.labels)
