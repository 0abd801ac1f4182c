"""The tables of `docs/metrics.md`: every metric, and nothing else."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from runtime import metrics
from runtime.metrics.page import SECTIONS, described, names
from tests import pace

PAGE: Final = Path(__file__).parents[2] / "docs" / "metrics.md"
OWN: Final = ("tidegate_", "process_")


@pytest.fixture(scope="module")
def printed() -> str:
    """In a separate process: the gateway and the workers, once imported, add values to labels."""
    command = [sys.executable, "-m", "runtime.metrics"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=pace.seconds(30)).stdout


def test_the_page_ends_with_every_metric(printed: str) -> None:
    """After a change, `make metrics` regenerates the tables."""
    assert PAGE.read_text(encoding="utf-8").endswith(f"\n\n{printed}")


def test_each_row_is_one_line_of_five_cells(printed: str) -> None:
    lines = [line for line in printed.splitlines() if line.startswith("| `")]
    assert len(lines) == len(names())
    for line in lines:
        assert len(line.split(" | ")) == 5, line


def test_every_metric_is_in_exactly_one_section() -> None:
    told = [each.name for section in SECTIONS for each in described(section)]
    assert len(told) == len(set(told))
    kept = {family.name + ("_total" if family.type == "counter" else "") for family in REGISTRY.collect()}
    assert len(kept) > 20
    assert {name for name in kept if name.startswith(OWN) and not name.startswith("tidegate_test_")} <= set(told)


def test_every_metric_can_be_imported_from_the_package() -> None:
    exported = {id(metric) for metric in vars(metrics).values()}
    for section in SECTIONS:
        for name, metric in vars(section).items():
            assert not isinstance(metric, MetricWrapperBase) or id(metric) in exported, name


def test_names_follow_the_conventions() -> None:
    """What Prometheus's own linter asks for: a prefix, base units, and `_total` for counters only."""
    for section in SECTIONS:
        for each in described(section):
            assert each.name.startswith(OWN), each.name
            assert each.name.endswith("_total") == (each.type == "counter"), each.name
            assert each.type in ("counter", "gauge", "histogram"), each.name
            assert not any(unit in each.name for unit in ("milli", "micro", "minute", "kilo", "mega")), each.name
            assert each.meaning.endswith("."), each.name
