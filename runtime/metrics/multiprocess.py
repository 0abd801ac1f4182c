"""Where this process keeps its metrics. With PROMETHEUS_MULTIPROC_DIR set before the first import (as `tidegate up`
does), in a folder that it shares with the others of this machine, and a scrape of any of them returns the sum of all;
without it, in memory, and a scrape returns only its own.
"""

import os
from pathlib import Path
from typing import Final

from prometheus_client import values
from prometheus_client.values import MultiProcessValue

from runtime.metrics.folder import Folder

_MULTIPROCESS: Final = "PROMETHEUS_MULTIPROC_DIR"

FOLDER: Final = Folder(Path(os.environ[_MULTIPROCESS])) if _MULTIPROCESS in os.environ else None

_identity = ""


def _join() -> None:
    global _identity
    assert FOLDER is not None
    _identity = FOLDER.join()


if FOLDER is not None:
    _join()
    os.register_at_fork(after_in_child=_join)
    values.ValueClass = MultiProcessValue(lambda: _identity)  # type: ignore[no-untyped-call]  # it has no types here
