"""The tables of `docs/metrics.md`."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Final, NamedTuple

from prometheus_client.metrics import MetricWrapperBase

from runtime.metrics import asked, batches, feed, http, money, paid, partitions, patrol, processes, reactions, shop
from runtime.metrics.closed import OTHER, Asked, Closed

SECTIONS: Final = (http, batches, shop, paid, money, feed, reactions, patrol, partitions, asked, processes)
"""In the order of `docs/metrics.md`; the first words of a module's docstring are its heading."""

_UNITS: Final = ("seconds", "bytes")

# Larger sets of values are documented on other pages: routes, codes, types of commands.
_VALUES_MAX: Final = 12


class Described(NamedTuple):
    """A metric as the page shows it: its name (for a counter, with `_total`); its type; its labels, with their values
    if these are few and the same in every process; and its unit, empty for a plain number."""

    name: str
    type: str
    labels: dict[str, tuple[str, ...]]
    unit: str
    meaning: str


def described(section: ModuleType) -> Iterator[Described]:
    """The metrics of a section, in order of declaration."""
    for metric in vars(section).values():
        if isinstance(metric, MetricWrapperBase):
            name = metric._name + ("_total" if metric._type == "counter" else "")
            labels = {label: _values(metric, label) for label in metric._labelnames}
            yield Described(name, str(metric._type), labels, _unit(name), str(metric._documentation))
        elif isinstance(metric, Asked):
            yield Described(
                metric.name, metric.type, dict.fromkeys(metric.labels, ()), _unit(metric.name), metric.documentation
            )


def names() -> frozenset[str]:
    """The names of all metrics."""
    return frozenset(each.name for section in SECTIONS for each in described(section))


def markdown_tables() -> str:
    """A heading and a table for each section, with the processes that have its metrics."""
    return "\n".join(map(_table, SECTIONS))


def _table(section: ModuleType) -> str:
    heading, _, rest = (section.__doc__ or "").strip().partition(": ")
    rows = [
        f"| `{each.name}` | {each.type} | {_labels(each.labels)} | {each.unit} | {each.meaning} |"
        for each in described(section)
    ]
    return "\n".join(
        [
            f"## {heading}",
            "",
            f"{rest[0].upper()}{rest[1:]} Kept by: {', '.join(section.ROLES)}.",
            "",
            "| metric | type | labels | unit | meaning |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _labels(labels: dict[str, tuple[str, ...]]) -> str:
    return "; ".join(f"`{name}`" + (f": {', '.join(values)}" if values else "") for name, values in labels.items())


def _values(metric: MetricWrapperBase, label: str) -> tuple[str, ...]:
    assert isinstance(metric, Closed), f"{metric._name} takes any label"
    allowed = sorted(metric.allowed(label) - {OTHER})
    return tuple(allowed) if len(allowed) <= _VALUES_MAX else ()


def _unit(name: str) -> str:
    stem = name.removesuffix("_total")
    return next((unit for unit in _UNITS if stem.endswith(f"_{unit}")), "")
