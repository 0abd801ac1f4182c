"""Nothing outlives a test process, even one that is killed: a small process beside it waits for its end, ends what
still runs in the homes that it was told of, and removes them. A test process that ends in order has done so itself.
"""

import atexit
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

from ops.children import end_leftovers
from ops.embedded.server import records_folder

_ROOT: Final = Path(__file__).parents[1]
_STOP_SECONDS: Final = 5.0


def end_with_us(home: Path) -> None:
    """Neither this home nor the servers and processes in it will outlive this process."""
    told = _heir().stdin
    assert told is not None
    told.write(f"{home}\n")
    told.flush()


@cache
def _heir() -> "subprocess.Popen[str]":
    heir = subprocess.Popen(
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, text=True, cwd=_ROOT, start_new_session=True
    )
    atexit.register(heir.communicate)
    return heir


def main() -> None:
    for home in [Path(line.removesuffix("\n")) for line in sys.stdin]:  # which ends with the process that writes it
        if home.exists():
            end_leftovers(records_folder(home), _STOP_SECONDS)
            shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
