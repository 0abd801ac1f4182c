"""Turns what processes have counted into the metric families of a scrape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from runtime.metrics import exemplars
from runtime.metrics.exemplars import Bucket
from runtime.metrics.folder import Folder
from runtime.metrics.multiprocess import FOLDER

# How many of the library's keys are remembered in parsed form: more than there are.
_KEYS_MAX: Final = 20_000

_Labels = tuple[tuple[str, str], ...]


class _Part(NamedTuple):
    """A sample of a series: its name and, for a bucket of a histogram, the upper bound."""

    sample: str
    le: str | None


class _Key(NamedTuple):
    """The library's key for a value, parsed."""

    metric: str
    documentation: str
    labels: _Labels
    part: _Part


class Processes(Collector):
    """The metrics of all processes that share a folder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        self._folder.merge_dead()
        examples = exemplars.read(self._folder)
        for kind, values in self._folder.read().items():
            yield from _families(kind.partition("_")[0], values, examples)


def registry() -> CollectorRegistry:
    """The registry for a scrape: all processes of the machine, or only this one."""
    if FOLDER is None:
        return REGISTRY
    collected = CollectorRegistry()
    collected.register(Processes(FOLDER))
    return collected


def _families(
    kind: str, values: Mapping[str, tuple[float, float]], examples: Mapping[Bucket, Exemplar]
) -> Iterator[Metric]:
    families: dict[str, tuple[Metric, dict[_Labels, dict[_Part, float]]]] = {}
    for raw, (value, _) in values.items():
        key = _understood(raw)
        if key.metric not in families:
            families[key.metric] = Metric(key.metric, key.documentation, kind), {}
        series = families[key.metric][1].setdefault(key.labels, {})
        series[key.part] = series.get(key.part, 0.0) + value
    for metric, by_labels in families.values():
        for labels, series in by_labels.items():
            _add(metric, labels, series, examples)
        yield metric


def _add(metric: Metric, labelled: _Labels, series: Mapping[_Part, float], examples: Mapping[Bucket, Exemplar]) -> None:
    """Adds a series. For a histogram, the files have the count of each bucket by itself; a scrape shows cumulative
    buckets, and the total."""
    buckets = sorted((float(part.le), part) for part in series if part.le is not None)
    labels, count = dict(labelled), 0.0
    for _, part in buckets:
        count += series[part]
        le = str(part.le)
        example = examples.get((metric.name, labelled, le))
        metric.add_sample(part.sample, {**labels, "le": le}, count, exemplar=example)
    if buckets:
        metric.add_sample(f"{metric.name}_count", labels, count)
    for part, value in series.items():
        if part.le is None:
            metric.add_sample(part.sample, labels, value)


@lru_cache(maxsize=_KEYS_MAX)
def _understood(raw: str) -> _Key:
    metric, sample, labels, documentation = msgspec.json.decode(raw, type=tuple[str, str, dict[str, str], str])
    le = labels.pop("le", None)
    return _Key(metric, documentation, tuple(sorted(labels.items())), _Part(sample, le))
