"""A clock that is wrong by as much as a file says, for a whole process: `time.time`, and the moments of batches. What
measures durations (`time.monotonic`) is left alone, as on a machine whose clock is corrected.
"""

import mmap
import struct
import time
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from types import ModuleType

_DOUBLE = struct.Struct("=d")
# Modules that ask `datetime` for what is then written.
MODULES = ("workers.batch",)


def move(file: Path) -> None:
    """From now on this process goes by it."""
    with file.open("rb") as opened:
        error = mmap.mmap(opened.fileno(), _DOUBLE.size, access=mmap.ACCESS_READ)
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + _DOUBLE.unpack_from(error)[0]
    time.time_ns = lambda: real_ns() + int(_DOUBLE.unpack_from(error)[0] * 1e9)


def move_moments(module: ModuleType) -> None:
    """Has the module take its moments from `time.time`."""
    module.datetime = Datetime  # type: ignore[attr-defined]


def write(file: Path, seconds: float) -> None:
    """How wrong it is, from now on."""
    with file.open("r+b" if file.exists() else "w+b") as opened:
        opened.write(_DOUBLE.pack(seconds))


class Datetime(datetime):
    """Goes by `time.time`."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.fromtimestamp(0, tz) + timedelta(seconds=time.time())
