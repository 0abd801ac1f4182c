"""What chaos puts inside the processes under test: a clock that can be moved, and planted bugs, to see that chaos finds
them. The folder is on their PYTHONPATH; Python imports its `sitecustomize` by itself.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
CLOCK: Final = "CHAOS_CLOCK"
"""The variable that names the file with the clock's error: seconds, as a double of this machine."""
BUG: Final = "CHAOS_BUG"
"""The variable that names the bug."""


def spoiled(environment: Mapping[str, str], bug: str | None) -> dict[str, str]:
    """The environment of processes that have the bug."""
    found = {**environment, "PYTHONPATH": f"{FOLDER}{os.pathsep}{environment['PYTHONPATH']}"}
    if bug is not None:
        found[BUG] = bug
    return found
