"""A run of the benchmarks for people (tables that fit a terminal of 80 columns) and for programs (JSON)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadtests.bench.plan import Failure, Plan, Results, Series
from loadtests.bench.targets import COST, LESS_IS_BETTER, MILLISECONDS, SECONDS, TIMES, Target

_STYLES = {"aim": "bold green", "must": "green", "missed": "bold red", "not measured": "dim", "for comparison": "dim"}
_WITH_DECIMALS: Final = frozenset({MILLISECONDS, SECONDS, TIMES, COST})


def tables(results: Results, targets: Sequence[Target], configuration: Mapping[str, str]) -> RenderableType:
    """The configuration, everything measured, the targets, and which sections failed."""
    parts = [_configuration_table(configuration), _series_table(results), _targets_table(targets)]
    if results.failures:
        parts.append(_failures_table(results.failures))
    return Group(*parts)


def document(
    results: Results, targets: Sequence[Target], configuration: Mapping[str, str], plan: Plan, seconds: float
) -> dict[str, Any]:
    """The report, JSON-ready. `seconds` is how long the run has taken so far."""
    return {
        "seconds": round(seconds, 1),
        "plan": plan,
        "configuration": configuration,
        "series": [
            {"name": name, "unit": series.unit, "median": series.median, "values": series.values}
            for name, series in results.series.items()
        ],
        "targets": [{**_fields(target), "verdict": target.verdict} for target in targets],
        "failures": results.failures,
    }


def _fields(target: Target) -> dict[str, Any]:
    return {name: getattr(target, name) for name in target.__struct_fields__}


def _table(title: str, *columns: str) -> Table:
    """A table in which words may wrap, but numbers may not."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for number, column in enumerate(columns):
        if column in _NUMBERS:
            table.add_column(column, justify="right", no_wrap=True)
        else:
            table.add_column(column, overflow="fold", ratio=1 if number == 0 else None)
    return table


_NUMBERS: Final = frozenset({"median", "least", "most", "reached", "must", "aim", "round"})


def _series_table(results: Results) -> Table:
    table = _table("Series", "measured", "median", "least", "most", "unit")
    for name, series in results.series.items():
        table.add_row(name, *_numbers(series), series.unit)
    return table


def _numbers(series: Series) -> list[str]:
    return [_number(value, series.unit) for value in (series.median, min(series.values), max(series.values))]


def _number(value: float, unit: str) -> str:
    return f"{value:,.{2 if unit in _WITH_DECIMALS else 0}f}"


def _targets_table(targets: Sequence[Target]) -> Table:
    table = _table("Targets", "target", "reached", "must", "aim", "unit", "verdict")
    for target in targets:
        what = Text(target.what)
        if target.against:
            what.append(f"\n  ({target.against})", style="dim")
        table.add_row(
            what,
            "" if target.value is None else _number(target.value, target.unit),
            _bound(target, target.must),
            _bound(target, target.aim),
            target.unit,
            Text(target.verdict, style=_STYLES[target.verdict]),
        )
    return table


def _bound(target: Target, bound: float | None) -> str:
    if bound is None:
        return ""
    return f"{'<' if target.unit in LESS_IS_BETTER else ''}{bound:,g}"


def _failures_table(failures: Sequence[Failure]) -> Table:
    table = _table("Failed, and not measured after that", "section", "round", "reason")
    for failure in failures:
        table.add_row(Text(failure.section), str(failure.round), Text(failure.reason))
    table.columns[0].ratio, table.columns[2].ratio = None, 1
    return table


def _configuration_table(configuration: Mapping[str, str]) -> Table:
    table = Table(show_header=False, title="Configuration", title_justify="left", box=None, pad_edge=False)
    for name, value in configuration.items():
        table.add_row(name, value)
    return table
