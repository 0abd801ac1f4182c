"""Python imports this at start-up if this folder is on PYTHONPATH. It disables metrics, so that their cost is the
difference to the same program without it."""

from __future__ import annotations

from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from runtime.metrics.closed import BatchHistogram, Closed
from runtime.metrics.noted import NotedCounter, NotedHistogram


def _nothing(*_: Any, **__: Any) -> None:
    """Replaces counting."""


def _itself(metric: Any, *_: Any, **__: Any) -> Any:
    """Replaces the look-up of the metric for some labels."""
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
