"""`make` installs into .venv and runs from it, whatever the caller's shell is set up for."""

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("PIP_USER", "0"),
        ("PIP_TARGET", None),
        ("PIP_PREFIX", None),
        ("PIP_REQUIRE_VIRTUALENV", None),
        ("PYTHONPATH", None),
        ("PYTHONHOME", None),
        ("PYTHONDONTWRITEBYTECODE", None),
        ("PIP_INDEX_URL", "yes"),  # where packages come from is the caller's to say
        ("DATABASE_URL", "yes"),
    ],
)
def test_the_callers_python_does_not_leak_into_recipes(name: str, kept: str | None) -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "--eval", "probe: ; @env", "probe"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], name: "yes"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    told = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    assert told.get(name) == kept
