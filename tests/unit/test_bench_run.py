"""A run of the benchmarks in which something fails: what was measured is kept, the other sections continue, and the
exit code shows it; and the tables, on a terminal of 80 columns.
"""

from __future__ import annotations

import io
from collections.abc import Generator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from loadtests.bench import cli, report, rounds
from loadtests.bench.listeners import listening
from loadtests.bench.plan import Failure, Measured, Results
from loadtests.bench.stage import HOST, BenchError, ending
from loadtests.bench.targets import targets
from ops.ports import free_port

COLUMNS: Final = 80


class Section:
    """Measures 1, 2, 3 in its three rounds; the steps named by `at` fail."""

    name = "steady"
    at: ClassVar[dict[int, Exception]] = {}

    def __init__(self, *_: object) -> None:
        self._round = 0

    def titles(self) -> list[str]:
        return ["one", "another"]

    def measure(self) -> Generator[list[Measured]]:
        self._round += 1
        yield [Measured(f"{self.name}: one", self._round)]
        if error := self.at.get(self._round):
            raise error
        yield [Measured(f"{self.name}: another", self._round)]


class Failing(Section):
    name = "failing"


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *errors: Exception) -> tuple[Result, dict[str, Any]]:
    """Both sections in three rounds; the first one fails in the second round, if it is told to."""
    monkeypatch.setattr(Failing, "at", dict(enumerate(errors, 2)))
    monkeypatch.setattr(cli, "SECTIONS", (Failing, Section))
    monkeypatch.setattr(rounds, "Stage", lambda *_: nullcontext())
    monkeypatch.setattr(rounds, "configuration", lambda *_: {"cpu": "one"})
    monkeypatch.setattr(rounds, "busy_percent", lambda: 0.0)
    file = folder / "bench.json"
    done = CliRunner().invoke(cli.bench, ["--json", str(file)], env={"COLUMNS": str(COLUMNS)})
    return done, msgspec.json.decode(file.read_bytes()) if file.exists() else {}


def series(document: dict[str, Any]) -> dict[str, list[float]]:
    return {each["name"]: each["values"] for each in document["series"]}


def test_a_run_without_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done, document = run(monkeypatch, tmp_path)
    assert done.exit_code == 0, done.output
    assert series(document)["failing: another"] == series(document)["steady: another"] == [1, 2, 3]
    assert document["failures"] == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BenchError("the sockets ended: SIGKILL"), "the sockets ended: SIGKILL"),
        (msgspec.DecodeError("Input data was truncated"), "DecodeError: Input data was truncated (test_bench_run.py"),
        (AssertionError("surprise"), "AssertionError: surprise"),
    ],
)
def test_a_failing_section_says_why_and_the_others_continue(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, reason: str
) -> None:
    done, document = run(monkeypatch, tmp_path, error)
    assert done.exit_code == 1
    assert "failed: failing" in done.output
    assert reason.split()[0] in done.output
    assert series(document) == {
        "failing: one": [1, 2],
        "failing: another": [1],
        "steady: one": [1, 2, 3],
        "steady: another": [1, 2, 3],
    }
    (failure,) = document["failures"]
    assert (failure["section"], failure["round"]) == ("failing", 2)
    assert failure["reason"].startswith(reason)


def test_what_is_measured_is_kept_after_each_section(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Even if the run fails later."""
    done, document = run(monkeypatch, tmp_path, KeyboardInterrupt())  # type: ignore[arg-type]
    assert done.exit_code != 0
    assert series(document)["steady: one"] == [1]


def test_the_end_of_a_process_is_reported_with_its_last_output() -> None:
    assert ending(-9, b"") == "SIGKILL"
    assert ending(3, b"one\ntwo\n") == "exit code 3; one; two"


def test_sockets_that_cannot_be_opened_say_why() -> None:
    sockets = listening(HOST, free_port(), "/", 1, 1)
    with pytest.raises(BenchError, match=r"could not be opened: exit code 1; .*refused"):
        sockets.__enter__()


def test_the_tables_fit_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Results()
    names = [
        "pgbench spread: one statement, 16 clients",
        "apply spread",
        "feed: commit to socket p99",
        "feed: deliveries",
        "feed: Node's ws deliveries",
        "import: its growth behind the first tenth",
        "pgbench hot: gapless, 16 clients",
        "apply hot",
    ]
    for number, name in enumerate(names):
        unit = "deliveries/s" if "deliveries" in name else "ms" if "p99" in name else "orders/s"
        for value in (1_234_567.0, 2_345_678.0 + number, 3_456_789.0):
            found.add(Measured(name, value, unit))
    found.failures.append(Failure("feed", 2, "the process of the sockets did not finish: SIGKILL; " + "word " * 30))
    said = io.StringIO()
    console = Console(file=said, width=COLUMNS)
    console.print(report.tables(found, targets(found, 1_000_000), {"cpu": "a processor " * 8}))
    lines = said.getvalue().splitlines()
    assert all(len(line) <= COLUMNS for line in lines)
    assert "…" not in said.getvalue(), "nothing is left out"
    for number, name in enumerate(names):
        decimals = 2 if "p99" in name else 0
        assert f"{2_345_678 + number:,.{decimals}f}" in said.getvalue(), "numbers are in one piece"
    assert len([line for line in lines if "verdict" in line]) == 1
