"""The files for Prometheus and Grafana in `deploy/`, as tests read them: rules, queries, and the metrics they name."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

import gateway.realtime.sockets  # noqa: F401 - adds the codes of closes to what its metric's label may be
from runtime.metrics.page import SECTIONS, Described, described

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "deploy" / "prometheus"
RULES: Final = tuple(sorted((FOLDER / "rules").glob("*.yml")))
RULE_TESTS: Final = tuple(sorted((FOLDER / "tests").glob("*.yml")))
CONFIG: Final = FOLDER / "prometheus.yml"
DASHBOARD: Final = ROOT / "deploy" / "grafana" / "tidegate.json"

# What the dashboard's variables may be.
_VARIABLES: Final = {"$job": "tidegate", "$instance": ".+", "$quantile": "0.99", "$__rate_interval": "30s"}

# Which metrics are there is up to Prometheus; all have these labels.
_OF_PROMETHEUS: Final = ("up",)
_OF_TARGETS: Final = {"job", "instance"}

# Written in C where there is one: the other takes a second for our files.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_COMMENT: Final = re.compile(r"^\s*#.*$", re.MULTILINE)
_SELECTOR: Final = re.compile(r"\b(?P<name>(?:tidegate[_:]|process_)[\w:]+|up\b)(?P<matchers>\{[^}]*\})?")
_MATCHER: Final = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_SAMPLES: Final = re.compile(r"_(?:bucket|sum|count)$")


class Rule(NamedTuple):
    """A rule of a file: of an alert, or what is recorded under a name."""

    name: str
    expr: str
    is_alert: bool
    labels: dict[str, str]
    annotations: dict[str, str]


class Selector(NamedTuple):
    """A metric that an expression names, with what it wants of labels: name, operator, value."""

    text: str
    name: str
    matchers: tuple[tuple[str, str, str], ...]


def rules() -> list[Rule]:
    """The rules of all files."""
    groups = [group for file in RULES for group in read(file)["groups"]]
    return [
        Rule(
            rule.get("alert") or rule["record"],
            rule["expr"],
            "alert" in rule,
            rule.get("labels", {}),
            rule.get("annotations", {}),
        )
        for group in groups
        for rule in group["rules"]
    ]


def alerts() -> list[Rule]:
    return [rule for rule in rules() if rule.is_alert]


def dashboard_queries() -> Iterator[str]:
    """The queries of the dashboard, with values for its variables."""
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"]
            for name, value in _VARIABLES.items():
                query = query.replace(name, value)
            yield query


def read(file: Path) -> dict[str, Any]:
    document = yaml.load(file.read_text(encoding="utf-8"), Loader=_LOADER)
    assert isinstance(document, dict)
    return document


def selectors(expr: str) -> Iterator[Selector]:
    """The metrics, recorded ones among them, that an expression names."""
    for found in _SELECTOR.finditer(_COMMENT.sub("", expr)):
        yield Selector(found[0], found["name"], tuple(_MATCHER.findall(found["matchers"] or "")))


def complaints(expr: str) -> list[str]:
    """What an expression names that is not there: metrics, labels, and values of labels that have few."""
    recorded = {rule.name for rule in rules() if not rule.is_alert}
    return [
        complaint
        for selector in selectors(expr)
        if selector.name not in recorded and selector.name not in _OF_PROMETHEUS
        for complaint in _complaints(selector)
    ]


def _complaints(selector: Selector) -> Iterator[str]:
    metric = _metric(selector.name)
    if metric is None:
        yield f"no metric {selector.name}"
        return
    labels = metric.labels | dict.fromkeys(_OF_TARGETS, ()) | ({"le": ()} if metric.type == "histogram" else {})
    for label, operator, value in selector.matchers:
        if label not in labels:
            yield f"{selector.name} has no label {label}"
        elif labels[label] and "$" not in value:
            values = value.split("|") if "~" in operator else [value]
            yield from (f"{selector.text}: never {each}" for each in values if each not in labels[label])


def _metric(name: str) -> Described | None:
    """The metric that a sample's name belongs to. Only histograms have samples under suffixed names, and only those."""
    metrics = {metric.name: metric for section in SECTIONS for metric in described(section)}
    found = metrics.get(_SAMPLES.sub("", name))
    return found if found is not None and (found.type == "histogram") == (found.name != name) else None
