"""Python imports this at its start if this folder is on PYTHONPATH: then metrics count nothing, and what they cost is
what the same program takes less."""

from __future__ import annotations

from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from runtime.metrics.closed import BatchHistogram, Closed
from runtime.metrics.noted import NotedCounter, NotedHistogram


def _nothing(*_: Any, **__: Any) -> None:
    """In place of counting."""


def _itself(metric: Any, *_: Any, **__: Any) -> Any:
    """In place of finding the metric for some labels."""
    return metric


for _kind, _names in (
    (Counter, ("inc",)),
    (Gauge, ("inc", "dec", "set")),
    (Histogram, ("observe",)),
    (BatchHistogram, ("observe_all",)),
    (NotedCounter, ("note",)),
    (NotedHistogram, ("note",)),
):
    for _name in _names:
        setattr(_kind, _name, _nothing)
Closed.labels = _itself  # type: ignore[method-assign, assignment]
