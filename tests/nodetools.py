"""Checks of our documents by Node: the programs in `tests/apitools`, whose packages are installed under `build/` once
for each version of their list. Only the installation asks a package registry.
"""

import json
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from loadtests.npm import NpmError, install
from tests import pace
from tests.needs import missing, program

TOOLS: Final = Path(__file__).parent / "apitools"
INSTALLED: Final = Path(__file__).parents[1] / "build" / "apitools"

_INSTALL_SECONDS: Final = 200.0
_RUN_SECONDS: Final = 60.0
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
    try:
        install(npm, TOOLS, INSTALLED, seconds=pace.seconds(_INSTALL_SECONDS))
    except NpmError as error:
        missing("node", f"the checkers of the documents could not be installed: {error}")
    return INSTALLED
