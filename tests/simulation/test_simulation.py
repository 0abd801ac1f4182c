"""A short pass of the simulation over fixed seeds; `python -m tests.simulation.run` runs more."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_SEEDS = 1
_REPEATED_SEEDS = 10
_BUG_MAX_SEEDS = 100


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.simulation.run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@contextmanager
def busy_machine() -> Iterator[None]:
    """Several processes for each core have nothing to do but to be in the way."""
    spin = [sys.executable, "-c", "while True: pass"]
    spinning = [subprocess.Popen(spin) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def test_whatever_breaks_nothing_is_lost_repeated_or_out_of_order() -> None:
    ended = simulate("--seeds", str(_SEEDS))
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.campaign
@pytest.mark.timeout(600)
def test_seeds_do_exactly_the_same_again_on_a_busy_machine() -> None:
    once = simulate("--seeds", str(_REPEATED_SEEDS))
    with busy_machine():
        again = simulate("--seeds", str(_REPEATED_SEEDS))
    assert once.returncode == again.returncode == 0, once.stdout + again.stdout
    digests = [re.findall(r"as (\w{16})", ended.stdout) for ended in (once, again)]
    assert digests[0] == digests[1] != []


@pytest.mark.campaign
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("bug", "finds"),
    [
        ("position_apart", "accepted (and never applied|commands are missing)"),
        ("no_gap_repair", "was told of"),
        ("no_ledger_guard", "insufficient_stock|overdrawn"),
        ("no_fence", "names"),
        ("task_twice", "tasks: too many"),
        ("reaction_ahead", "never handled|was given seq"),
    ],
)
def test_it_finds_a_planted_bug_and_its_seed_does_exactly_the_same_again(bug: str, finds: str) -> None:
    found = simulate("--seeds", str(_BUG_MAX_SEEDS), "--bug", bug)
    assert found.returncode == 1, found.stdout + found.stderr
    assert re.search(finds, found.stdout), found.stdout
    failed = re.search(r"seed (\d+) failed, as (\w+):", found.stdout)
    assert failed is not None, found.stdout
    seed, digest = failed.groups()
    with busy_machine():
        again = simulate("--seeds", "1", "--start", seed, "--bug", bug)
    assert f"seed {seed} failed, as {digest}:" in again.stdout, again.stdout
