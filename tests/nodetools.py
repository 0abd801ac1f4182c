"""Checks of our documents by Node: the programs in `tests/apitools`, whose packages are installed under `build/` once
for each version of their list. Only the installation asks a package registry.
"""

import fcntl
import json
import shutil
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from tests import pace
from tests.needs import missing, program

TOOLS: Final = Path(__file__).parent / "apitools"
INSTALLED: Final = Path(__file__).parents[1] / "build" / "apitools"

_INSTALL_SECONDS: Final = 200.0
_RUN_SECONDS: Final = 60.0
_LISTS: Final = ("package.json", "package-lock.json")
_QUIET: Final = {"REDOCLY_TELEMETRY": "off", "NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1"}


def says(script: str, document: Any) -> Any:
    """The JSON that a script prints about a document."""
    return json.loads(run("node", script, stdin=json.dumps(document)))


def run(command: str, *arguments: str, stdin: str = "") -> str:
    """The output of a program: `node`, or an installed one. If the program fails, this fails with all its output."""
    node = program("node", "node")
    folder = installed()
    start = [node] if command == "node" else [node, f"node_modules/.bin/{command}"]
    done = subprocess.run(
        [*start, *arguments],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=pace.seconds(_RUN_SECONDS),
        check=False,
        env={"PATH": f"{Path(node).parent}:/usr/bin:/bin", "HOME": str(folder), **_QUIET},
    )
    assert done.returncode == 0, f"{command} {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@lru_cache(maxsize=1)
def installed() -> Path:
    """The folder with the current programs and their packages. Skips without Node (see `tests.needs`)."""
    npm = program("node", "npm")
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with (INSTALLED.parent / "apitools.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # parallel test processes install it once
        _install(npm, ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"])
        for file in TOOLS.iterdir():
            shutil.copy(file, INSTALLED)
    return INSTALLED


def _install(npm: str, command: Sequence[str]) -> None:
    wanted = b"".join((TOOLS / name).read_bytes() for name in _LISTS)
    stamp = INSTALLED / "installed"
    if stamp.exists() and stamp.read_bytes() == wanted:
        return
    for name in _LISTS:
        shutil.copy(TOOLS / name, INSTALLED)
    seconds = pace.seconds(_INSTALL_SECONDS)
    done = subprocess.run([npm, *command], cwd=INSTALLED, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode:
        missing("node", f"npm could not install the checkers of the documents: {done.stderr[-500:]}")
    stamp.write_bytes(wanted)
