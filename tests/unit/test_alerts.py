"""The rules for Prometheus: they name what there is; each alert has an entry in the runbook, and fires when it should
and not otherwise, which promtool tries."""

import re
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest

from tests import needs, pace
from tests.prometheus import CONFIG, RULE_TESTS, RULES, Rule, alerts, complaints, read, rules

RUNBOOK: Final = Path(__file__).parents[2] / "docs" / "runbook.md"
PROVOKED: Final = sorted((Path(__file__).parents[1] / "e2e").glob("test_alerts*.py"))

# A partition has to be full, and its last event days old; `test_partitions.py` ages one.
TAKES_DAYS: Final = {"TidegateArchiveLate"}

# A gateway that was cut off reads the log once it is connected again, and has closed most gaps before it sees one.
HEALS_TOO_SOON: Final = {"TidegateFeedGaps"}

SEVERITIES: Final = ("page", "ticket")
PROMTOOL_SECONDS: Final = 60.0


def names(of: list[Rule]) -> list[str]:
    return [rule.name for rule in of]


def promtool(*arguments: str) -> None:
    command = [needs.program("promtool", "promtool"), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=pace.seconds(PROMTOOL_SECONDS))
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("rule", rules(), ids=names(rules()))
def test_a_rule_names_metrics_that_exist(rule: Rule) -> None:
    assert complaints(rule.expr) == []


def test_an_expression_with_unknown_metrics_or_labels_is_found() -> None:
    assert complaints("rate(tidegate_nothing_total[5m])") == ["no metric tidegate_nothing_total"]
    assert complaints("tidegate_batch_seconds + tidegate_sockets_count") == [
        "no metric tidegate_batch_seconds",
        "no metric tidegate_sockets_count",
    ]
    assert complaints('tidegate_sockets{size="large"}') == ["tidegate_sockets has no label size"]
    assert complaints('tidegate_processes{role=~"worker|writer"}') == [
        'tidegate_processes{role=~"worker|writer"}: never writer'
    ]
    assert complaints("tidegate:nothing:ratio_rate5m > 1") == ["no metric tidegate:nothing:ratio_rate5m"]


def test_no_two_rules_have_the_same_name() -> None:
    assert len(names(rules())) == len(set(names(rules()))) > 30


@pytest.mark.parametrize("alert", alerts(), ids=names(alerts()))
def test_an_alert_says_what_it_is_about_and_where_to_read_on(alert: Rule) -> None:
    assert alert.labels["severity"] in SEVERITIES
    assert alert.annotations["summary"]
    assert alert.annotations["description"].endswith(".")
    assert alert.annotations["runbook_url"] == f"docs/runbook.md#{alert.name.lower()}"


def test_the_runbook_has_an_entry_for_every_alert_and_no_other() -> None:
    """What it means, what to look at, what to do."""
    entries = re.findall(
        r"^## (\w+)\n\n(.*?)(?=\n## |\Z)", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert sorted(name for name, _ in entries) == sorted(names(alerts()))
    for name, entry in entries:
        assert re.findall(r"^- \*\*(.+?):\*\* \S", entry, re.MULTILINE) == ["Means", "Look at", "Do"], name


def test_every_alert_is_tried_with_what_it_is_for_and_in_a_healthy_shop() -> None:
    fires, stays_quiet, healthy = (defaultdict[str, int](int) for _ in range(3))
    for file in RULE_TESTS:
        for case in read(file)["tests"]:
            for tried in case["alert_rule_test"]:
                counted = healthy if file.stem == "healthy" else fires if tried["exp_alerts"] else stays_quiet
                counted[tried["alertname"]] += 1
    for tried in (fires, stays_quiet, healthy):
        assert sorted(tried) == sorted(names(alerts()))


def test_every_alert_is_provoked_in_a_real_system_but_for_what_takes_days() -> None:
    provoked = {name for file in PROVOKED for name in re.findall(r'"(Tidegate\w+)"', file.read_text(encoding="utf-8"))}
    assert provoked | (TAKES_DAYS | HEALS_TOO_SOON) == set(names(alerts()))
    assert not provoked & (TAKES_DAYS | HEALS_TOO_SOON)


@pytest.mark.parametrize("file", RULE_TESTS, ids=lambda file: file.stem)
def test_alerts_fire_when_they_should_and_not_otherwise(file: Path) -> None:
    promtool("test", "rules", str(file))


def test_promtool_has_nothing_to_say() -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, RULES))
    promtool("check", "config", "--lint=all", "--lint-fatal", str(CONFIG))
