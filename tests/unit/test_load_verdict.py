"""Verdicts of load tests: a missed threshold fails the run, and every report says so."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from loadtests.frame import reports
from loadtests.frame.verdict import (
    ALL,
    FAILED,
    PASSED,
    SKIPPED,
    Check,
    Failures,
    Latency,
    Row,
    Verdict,
    check,
    judged,
    skipped,
    timed,
)

ROW = Row("OPEN", "buyers")


class Figures(msgspec.Struct):
    """The figures of a row whose percentiles are equal to their numbers, in milliseconds."""

    num_requests: int = 1_000
    num_failures: int = 0

    def get_response_time_percentile(self, percent: float) -> int:
        return round(1_000 * percent)


def of(**rows: Figures) -> dict[Row, Figures]:
    return {ROW: rows.get("row", Figures()), ALL: rows.get("all", Figures())}


@pytest.mark.parametrize(
    ("percent", "most_ms", "outcome"), [(99, 990, PASSED), (99, 989, FAILED), (50, 500, PASSED), (50, 499, FAILED)]
)
def test_a_percentile_may_be_as_large_as_its_threshold(percent: float, most_ms: float, outcome: str) -> None:
    assert Latency(ROW, percent, most_ms, "why").check(lambda row: of()[row], 1.0).outcome == outcome


def test_a_slower_machine_stretches_times_and_nothing_else() -> None:
    figures = of(all=Figures(1_000, 1))
    checks = judged([Latency(ROW, 99, 495, "why"), Failures(0.0, "why")], lambda row: figures[row], 2.0)
    assert [each.outcome for each in checks] == [PASSED, FAILED]
    assert checks[0].wanted == "at most 990 ms"


def test_a_row_without_requests_has_failed() -> None:
    for threshold in (Latency(ROW, 99, 1_000, "why"), Failures(100.0 - 1e-9, "why", ROW)):
        assert threshold.check(lambda row: Figures(0, 0), 1.0).failed, threshold


@pytest.mark.parametrize(("failures", "outcome"), [(0, PASSED), (1, PASSED), (2, FAILED)])
def test_failures_are_a_share_of_requests(failures: int, outcome: str) -> None:
    assert Failures(0.1, "why").check(lambda row: Figures(1_000, failures), 1.0).outcome == outcome


def verdict(*checks: Check) -> Verdict:
    return Verdict("flash_sale", checks, [timed(ROW, Figures())], {"sold": 1_000})


GOOD = check("p99 of [OPEN] buyers", True, wanted="at most 3 ms", measured="2 ms", because="people wait <3 ms & go")
BAD = check("sold", False, wanted="1,000", measured="1,001 \x00", because="one \x1b[31m more")
OPEN = skipped("verify", "not asked for")


def test_one_failure_fails_the_run_and_nothing_checked_does_too() -> None:
    assert verdict(GOOD, OPEN).passed
    assert not verdict(GOOD, BAD).passed
    assert not verdict(OPEN).passed
    assert not verdict().passed


def test_junit_is_well_formed_whatever_was_measured(tmp_path: Path) -> None:
    reports.write(verdict(GOOD, BAD, OPEN), tmp_path / "new" / "folder")
    suite = ET.parse(tmp_path / "new" / "folder" / "junit.xml").getroot()
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "3", "failures": "1", "errors": "0", "skipped": "1"}
    good, bad, left_out = suite.findall("testcase")
    assert good.get("name") == GOOD.name
    assert good.find("failure") is None
    assert (bad.find("failure") is not None, left_out.find("skipped") is not None) == (True, True)
    assert "1,001" in str(bad.findtext("failure"))


def test_json_has_every_check_and_the_verdict(tmp_path: Path) -> None:
    reports.write(verdict(GOOD, BAD), tmp_path)
    said = json.loads((tmp_path / "verdict.json").read_text())
    assert said["passed"] is False
    assert [each["outcome"] for each in said["checks"]] == [PASSED, FAILED]
    assert said["figures"] == {"sold": 1_000}
    assert said["rows"][0]["row"] == str(ROW)
    assert said["rows"][0]["p99_ms"] == 990


def test_the_table_shows_names_as_they_are() -> None:
    shown = reports.table(verdict(GOOD, OPEN))
    assert "flash_sale: PASSED" in shown
    assert GOOD.name in shown
    assert SKIPPED in shown
