"""A run of the benchmarks for people (tables) and for programs (JSON)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from loadtests.bench.plan import Plan, Results, Series
from loadtests.bench.targets import MILLISECONDS, Target

_STYLES = {"aim": "bold green", "must": "green", "missed": "bold red", "not measured": "dim", "for comparison": "dim"}


def tables(results: Results, targets: Sequence[Target], configuration: Mapping[str, str]) -> RenderableType:
    """What it was measured on, everything measured, and the targets."""
    return Group(_configuration_table(configuration), _series_table(results), _targets_table(targets))


def document(
    results: Results, targets: Sequence[Target], configuration: Mapping[str, str], plan: Plan, seconds: float
) -> dict[str, Any]:
    """The same, JSON-ready. `seconds` is how long the whole run took."""
    return {
        "seconds": round(seconds, 1),
        "plan": plan,
        "configuration": configuration,
        "series": [
            {"name": name, "unit": series.unit, "median": series.median, "values": series.values}
            for name, series in results.series.items()
        ],
        "targets": [{**_fields(target), "verdict": target.verdict} for target in targets],
    }


def _fields(target: Target) -> dict[str, Any]:
    return {name: getattr(target, name) for name in target.__struct_fields__}


def _series_table(results: Results) -> Table:
    table = Table("measured", "median", "unit", "least", "most", title="Series", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "left" if column.header == "unit" else "right"
    for name, series in results.series.items():
        table.add_row(name, *_numbers(series))
    return table


def _numbers(series: Series) -> tuple[str, str, str, str]:
    decimals = 2 if series.unit == MILLISECONDS else 0
    median, least, most = (f"{x:,.{decimals}f}" for x in (series.median, min(series.values), max(series.values)))
    return median, series.unit, least, most


def _targets_table(targets: Sequence[Target]) -> Table:
    table = Table("target", "reached", "must", "aim", "", "against", title="Targets", title_justify="left")
    for target in targets:
        table.add_row(
            target.what,
            "" if target.value is None else f"{target.value:.2f} {target.unit}",
            _bound(target, target.must),
            _bound(target, target.aim),
            f"[{_STYLES[target.verdict]}]{target.verdict}[/]",
            target.against or "",
        )
    return table


def _bound(target: Target, bound: float | None) -> str:
    if bound is None:
        return ""
    return f"{'under ' if target.unit == MILLISECONDS else ''}{bound:g} {target.unit}"


def _configuration_table(configuration: Mapping[str, str]) -> Table:
    table = Table(show_header=False, title="Configuration", title_justify="left")
    for name, value in configuration.items():
        table.add_row(name, value)
    return table
