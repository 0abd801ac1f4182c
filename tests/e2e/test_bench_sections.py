"""The benchmark sections that write tables with their own statements: a new column breaks them, and a section that
fails is easily overlooked among the others' figures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests import pace

SECTIONS = ("pgbench", "wait", "checkouts", "verify", "feed", "costs", "sockets")


@pytest.mark.campaign
@pytest.mark.timeout(600)
def test_they_still_measure(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    chosen = [argument for name in SECTIONS for argument in ("--only", name)]
    done = subprocess.run(
        [
            Path(sys.executable).with_name("tidegate"),
            "bench",
            "--quick",
            "--seconds",
            "1",
            "--sockets",
            "200",
            *chosen,
            "--json",
            file,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=pace.seconds(500),
    )
    assert done.returncode == 0, done.stderr
    found = msgspec.json.decode(file.read_bytes())
    assert found["failures"] == []
    measured = {series["name"].partition(":")[0].partition(" ")[0] for series in found["series"]}
    assert measured >= set(SECTIONS)
