"""The Containerfile's steps, for tests that take them without a container engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

from tests import pace

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
SECONDS: Final = 400


def run(*command: str | Path, cwd: Path | None = None, code: int = 0, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=pace.seconds(SECONDS),
    )
    assert done.returncode == code, done.stdout
    return done.stdout


class Step(NamedTuple):
    """An instruction of the Containerfile, its continued lines as one."""

    word: str
    rest: str


def stages() -> list[list[Step]]:
    """The Containerfile's stages; each begins with its FROM."""
    text = re.sub(r"^\s*#.*\n", "", (DEPLOY / "Containerfile").read_text(), flags=re.MULTILINE)
    steps = [Step(*line.split(maxsplit=1)) for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    starts = [place for place, step in enumerate(steps) if step.word == "FROM"]
    return [steps[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]


def copy_context(folder: Path) -> None:
    """Copies what the build is given: what git knows and .dockerignore lets through."""
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    files = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *allowed, cwd=ROOT).split("\0")
    for name in filter(None, files):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target, follow_symlinks=False)
