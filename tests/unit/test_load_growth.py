"""Whether something grows for ever is told by its slope in the second half of a run, and by nothing shorter; what is
kept may grow with the log."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtests.frame import gauges
from loadtests.frame.gauges import KEPT, Reading, Watched
from loadtests.frame.growth import FILES, MEMORY, Sample, proportional, second_half, slope, steady
from loadtests.frame.verdict import FAILED, PASSED, SKIPPED, Verdict
from runtime.tables import metadata
from tests import pace

MIB = 1_048_576


def samples(seconds: int, value_mib: Callable[[int], float]) -> list[Sample]:
    return [Sample(at, int(value_mib(at) * MIB)) for at in range(0, seconds, 5)]


def test_the_slope_is_bytes_a_second() -> None:
    assert slope(samples(600, lambda at: 100 + at / 10)) == pytest.approx(MIB / 10, rel=1e-3)
    assert slope([Sample(0, 5)]) == 0.0


@pytest.mark.parametrize(
    ("value_mib", "outcome"),
    [
        (lambda at: 200, PASSED),
        (lambda at: 100 + 60 * min(at, 800) / 800, PASSED),  # warms up, then is flat
        (lambda at: 200 + at * 60 / 3_600, FAILED),  # 60 MiB an hour, 15 within the half
        (lambda at: 300 - at * 60 / 3_600, PASSED),
        (lambda at: 200 + 4 * (at % 50 == 0), PASSED),
    ],
)
def test_what_goes_on_growing_fails(value_mib: Callable[[int], float], outcome: str) -> None:
    assert steady("gateway", samples(1_800, value_mib), MEMORY).outcome == outcome


def test_a_short_run_tells_nothing() -> None:
    assert steady("gateway", samples(300, lambda at: at * 10), MEMORY).outcome == SKIPPED
    assert steady("gateway", [], MEMORY).outcome == SKIPPED
    assert proportional("events", samples(300, lambda at: at), samples(300, lambda at: at)).outcome == SKIPPED
    assert proportional("events", [], []).outcome == SKIPPED
    assert second_half([]) == ()


def test_a_file_lost_every_half_minute_is_a_leak() -> None:
    leaking = [Sample(at, 40 + at / 30) for at in range(0, 1_800, 5)]
    assert steady("open files of worker", leaking, FILES).outcome == FAILED
    assert (
        steady("open files of worker", [Sample(at, 40 + at % 7) for at in range(0, 1_800, 5)], FILES).outcome == PASSED
    )


@pytest.mark.parametrize(
    ("value_mib", "outcome"),
    [
        (lambda at: 10 + at / 20, PASSED),  # with the log, which grows as steadily
        (lambda at: 10 + max(at / 20, at / 5 - 135), FAILED),  # four times as fast in the second half
        (lambda at: 10 + max(0, at - 900) / 300, PASSED),  # a few extents
    ],
)
def test_what_is_kept_may_grow_with_the_log(value_mib: Callable[[int], float], outcome: str) -> None:
    events = [Sample(at, 60.0 * at) for at in range(0, 1_800, 5)]
    assert proportional("table events", samples(1_800, value_mib), events).outcome == outcome


def test_the_tables_that_may_grow_exist() -> None:
    assert set(metadata.tables) >= KEPT


def test_everything_that_is_read_is_judged() -> None:
    readings = [
        Reading(at, {"worker": 50 * MIB}, {"worker": 20 + at}, {"events": 9 * MIB, "tasks": at * MIB}, 7 * MIB, 60 * at)
        for at in range(0, 1_800, 5)
    ]
    assert {each.name: each.outcome for each in gauges.checks("worker=7", Watched(readings, True))} == {
        "what grows was watched to the end": PASSED,
        "memory of worker": PASSED,
        "open files of worker": FAILED,
        "memory of Redis": PASSED,
        "table events": PASSED,
        "table tasks": FAILED,
    }
    assert [each.outcome for each in gauges.checks("", Watched())] == [SKIPPED]


@pytest.mark.parametrize(
    ("memory", "to_the_end", "said"),
    [
        ([], True, "no readings"),
        ([{"worker": 3, "gateway": 4}, {"worker": 3, "gateway": 4}], False, "2 readings, then the reader ended"),
        ([{"worker": 3}, {"worker": 3}], True, "not there all the time: gateway"),
        ([{"worker": 3, "gateway": 4}, {"worker": 3}], True, "not there all the time: gateway"),
        ([{}, {}], True, "not there all the time: worker, gateway"),
    ],
)
def test_growth_that_nobody_saw_fails(memory: list[dict[str, int]], to_the_end: bool, said: str) -> None:
    readings = [Reading(at, each, dict.fromkeys(each, 20)) for at, each in enumerate(memory)]
    watched, *others = gauges.checks("worker=7,gateway=8", Watched(readings, to_the_end))
    assert (watched.outcome, watched.measured) == (FAILED, said)
    assert not any(each.failed for each in others), "too short to tell"
    assert not Verdict("soak", [watched, *others]).passed


def test_a_reader_that_cannot_read_is_noticed(tmp_path: Path) -> None:
    with gauges.reading("worker=the-second", 1.0, tmp_path / "readings") as reader:
        reader.wait(pace.seconds(30))
        assert reader.poll() == 1
    watched = Watched(gauges.read(tmp_path / "readings"), reader.poll() is None)
    assert [each.outcome for each in gauges.checks("worker=the-second", watched)] == [FAILED]


def test_a_reading_that_is_not_whole_is_left_out(tmp_path: Path) -> None:
    (file := tmp_path / "readings").write_text(json.dumps({"at": 1.5, "memory": {"worker": 3}}) + '\n{"at": 2')
    assert gauges.read(file) == [Reading(1.5, {"worker": 3})]


def test_a_process_is_looked_at_with_its_children() -> None:
    resident, files = gauges._of_process(os.getpid())
    assert resident > MIB
    assert files > 2
