"""The folder of metrics: whatever happens to processes, what they counted is counted once, and their files do not pile
up. The processes are real, and are killed."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import pytest
from prometheus_client.metrics_core import Metric

from runtime.metrics.exposition import Processes
from runtime.metrics.folder import Folder
from tests import pace

# Obeys the lines it reads: each forks that many processes in turn, which count to three and are killed.
_MOTHER: Final = """
import os, signal, sys
from runtime import metrics

def count():
    metrics.SWEEPS.inc(3)
    metrics.BATCH_RETRIES.labels("bisected").inc(3)
    for seconds in (0.001, 0.3, 100):
        metrics.BATCH_SECONDS.observe(seconds)
    metrics.SOCKETS.set(1)

if sys.argv[1:] == ["live"]:
    count()
print(flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        child = os.fork()
        if child == 0:
            count()
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
    print(flush=True)
"""

# Merges, and is killed before its n-th operation.
_MERGER: Final = """
import os, pathlib, signal, sys
from runtime.metrics.folder import Folder

def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

class Counted:
    left = int(sys.argv[3])
    real = getattr(pathlib.Path, sys.argv[2])
    def __get__(self, path, _):
        Counted.left -= 1
        return killed if Counted.left == 0 else Counted.real.__get__(path)

setattr(pathlib.Path, sys.argv[2], Counted())
Folder(pathlib.Path(sys.argv[1])).merge_dead()
"""


class Mother:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._said: IO[str] = process.stdin
        self._heard: IO[str] = process.stdout

    def loses(self, children: int) -> None:
        """When this returns they have counted and are dead."""
        self.begins_to_lose(children)
        self.has_lost()

    def begins_to_lose(self, children: int) -> None:
        self._said.write(f"{children}\n")
        self._said.flush()

    def has_lost(self) -> None:
        assert self._heard.readline() == "\n"

    def die(self) -> None:
        self._process.kill()
        self._process.wait()
        self._said.close()
        self._heard.close()


@contextmanager
def mother(folder: Path, *arguments: str) -> Iterator[Mother]:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    command = [sys.executable, "-c", _MOTHER, *arguments]
    process = subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    found = Mother(process)
    try:
        found.has_lost()
        yield found
    finally:
        found.die()


def families(folder: Path) -> dict[str, Metric]:
    """A scrape."""
    return {family.name: family for family in Processes(Folder(folder)).collect()}


def value(found: dict[str, Metric], sample: str) -> float | None:
    """The sum of the samples with this name; None if there are none."""
    values = [each.value for family in found.values() for each in family.samples if each.name == sample]
    return sum(values) if values else None


def counted(folder: Path, processes: int) -> None:
    """Fails unless a scrape shows what this many processes have counted."""
    found = families(folder)
    assert value(found, "tidegate_mailboxes_swept_total") == 3 * processes
    assert value(found, "tidegate_batch_retries_total") == 3 * processes
    assert value(found, "tidegate_batch_seconds_count") == 3 * processes
    assert value(found, "tidegate_batch_seconds_sum") == pytest.approx(100.301 * processes)
    buckets = {each.labels["le"]: each.value for each in found["tidegate_batch_seconds"].samples if each.labels}
    assert list(buckets) == [*map(str, (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)), "+Inf"]
    below = [buckets[le] / processes for le in ("0.002", "0.2", "0.5", "10.0", "+Inf")]
    assert below == [1, 1, 2, 2, 3]


def test_the_counts_of_dead_processes_stay_and_their_files_are_removed(tmp_path: Path) -> None:
    with mother(tmp_path) as living:
        living.loses(1)
        counted(tmp_path, 1)
        files = len(list(tmp_path.iterdir()))
        for round_ in range(2, 6):
            living.loses(5)
            counted(tmp_path, 1 + 5 * (round_ - 1))
            assert len(list(tmp_path.iterdir())) == files
    counted(tmp_path, 21)
    assert {file.name for file in tmp_path.iterdir()} == {"archive.json", "merging"}


def test_gauges_disappear_with_their_process_and_its_counts_do_not(tmp_path: Path) -> None:
    with mother(tmp_path, "live") as one:
        with mother(tmp_path, "live") as other:
            other.loses(3)
            assert value(families(tmp_path), "tidegate_sockets") == 2
            counted(tmp_path, 5)
        assert value(families(tmp_path), "tidegate_sockets") == 1
        counted(tmp_path, 5)
        one.loses(1)
        counted(tmp_path, 6)
    assert value(families(tmp_path), "tidegate_sockets") is None
    counted(tmp_path, 6)


def test_a_gauge_is_not_shown_before_the_files_of_its_dead_process_are_gone(tmp_path: Path) -> None:
    with mother(tmp_path, "live"):
        assert "gauge_livesum" in Folder(tmp_path).read()
    before = sorted(tmp_path.iterdir())
    assert "gauge_livesum" not in Folder(tmp_path).read()
    assert sorted(tmp_path.iterdir()) == before, "only a merge removes files"


# The operations of a merge of four dead processes: it replaces the archive once, and removes several files of each.
@pytest.mark.parametrize(("step", "time"), [("replace", 1), ("unlink", 1), ("unlink", 6)])
def test_a_merge_that_is_killed_leaves_nothing_out_and_counts_nothing_twice(
    tmp_path: Path, step: str, time: int
) -> None:
    with mother(tmp_path) as living:
        living.loses(4)
        before = len(list(tmp_path.iterdir()))
        command = [sys.executable, "-c", _MERGER, str(tmp_path), step, str(time)]
        assert subprocess.run(command, check=False, timeout=pace.seconds(30)).returncode < 0
        if step == "unlink":
            assert (tmp_path / "archive.json").exists()
            assert len(list(tmp_path.iterdir())) > before - time
        assert _swept(Folder(tmp_path)) == 12
        living.loses(1)
        assert _swept(Folder(tmp_path)) == 15
        counted(tmp_path, 5)
        counted(tmp_path, 5)
    counted(tmp_path, 5)
    assert {file.name for file in tmp_path.iterdir()} == {"archive.json", "merging"}


def test_counters_do_not_fall_while_processes_die_and_others_merge(tmp_path: Path) -> None:
    """Two scrapers, each of which merges as well, while processes come and go."""
    with mother(tmp_path) as one, mother(tmp_path) as other:
        scrapers = Folder(tmp_path), Folder(tmp_path)
        seen = 0.0
        for _ in range(4):
            one.begins_to_lose(10)
            other.begins_to_lose(10)
            for _ in range(20):
                for scraper in scrapers:
                    now = _swept(scraper)
                    assert now >= seen
                    seen = now
                    scraper.merge_dead()
            one.has_lost()
            other.has_lost()
        counted(tmp_path, 80)


def test_a_process_that_has_only_just_created_its_file_does_no_harm(tmp_path: Path) -> None:
    identity = Folder(tmp_path).join()
    (tmp_path / f"counter_{identity}.db").touch()
    assert Folder(tmp_path).read().get("counter", {}) == {}


def test_an_identity_is_used_once(tmp_path: Path) -> None:
    """Pids are reused: the counts of a new process must not be taken for those already in the archive."""
    folders = [Folder(tmp_path) for _ in range(20)]
    assert len({folder.join() for folder in folders}) == 20


def test_a_reading_during_a_merge_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It read the archive before the merge, and the files after it."""
    with mother(tmp_path) as living:
        living.loses(2)
        real = Path.iterdir

        def after_a_merge(path: Path) -> Iterator[Path]:
            monkeypatch.undo()
            Folder(tmp_path).merge_dead()
            return real(path)

        monkeypatch.setattr(Path, "iterdir", after_a_merge)
        assert _swept(Folder(tmp_path)) == 6


def test_a_file_created_just_before_its_process_died_is_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files had been listed already, and then the process turns out to be dead."""
    with mother(tmp_path, "live"):
        counter, elsewhere = next(tmp_path.glob("counter_*")), tmp_path / "elsewhere"
    counter.rename(elsewhere)
    real = fcntl.flock

    def after_it_was_made(lock: int, operation: int) -> None:
        real(lock, operation)
        if operation == fcntl.LOCK_SH | fcntl.LOCK_NB:
            monkeypatch.undo()
            elsewhere.rename(counter)

    monkeypatch.setattr(fcntl, "flock", after_it_was_made)
    Folder(tmp_path).merge_dead()
    assert not counter.exists()
    counted(tmp_path, 1)


@pytest.mark.parametrize("step", ["flock", "rename"])
def test_a_joining_process_is_not_taken_for_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Another process merges when it is about to lock its file, or has just done so."""
    owner = fcntl if step == "flock" else Path
    real = getattr(owner, step)

    def after_a_merge(*arguments: Any) -> Any:
        monkeypatch.undo()
        Folder(tmp_path).merge_dead()
        return real(*arguments)

    monkeypatch.setattr(owner, step, after_a_merge)
    joined = Folder(tmp_path)
    joined.join()
    (alive,) = tmp_path.glob("alive_*")
    Folder(tmp_path).merge_dead()
    assert {file.name for file in tmp_path.iterdir()} == {alive.name, "merging"}


def test_a_merge_leaves_the_living_alone(tmp_path: Path) -> None:
    with mother(tmp_path, "live"):
        before = sorted(tmp_path.iterdir())
        Folder(tmp_path).merge_dead()
        assert [file for file in sorted(tmp_path.iterdir()) if file.name != "merging"] == before
        counted(tmp_path, 1)


def _swept(folder: Folder) -> float:
    found = folder.read()["counter"]
    return sum(value for key, (value, _) in found.items() if "tidegate_mailboxes_swept" in key)
