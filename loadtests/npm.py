"""Installs programs for Node, with exactly the packages in their lock file, in a folder of their own."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path
from typing import Final

LISTS: Final = ("package.json", "package-lock.json")
_OPTIONS: Final = ("--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
_STAMP: Final = "installed"


class NpmError(Exception):
    """The packages could not be installed."""


def install(npm: str, programs: Path, folder: Path, *, seconds: float) -> None:
    """Copies the files in `programs`, including the package lists, to `folder`, and installs the packages, once for
    each version of the lists, for at most `seconds`; only then is a package registry asked. Install scripts of packages
    are not run."""
    folder.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # so that concurrent processes install it only once
        for file in programs.iterdir():
            shutil.copy(file, folder)
        wanted = b"".join((programs / name).read_bytes() for name in LISTS)
        stamp = folder / _STAMP
        if stamp.exists() and stamp.read_bytes() == wanted:
            return
        stamp.unlink(missing_ok=True)
        _run(npm, folder, seconds)
        stamp.write_bytes(wanted)


def _run(npm: str, folder: Path, seconds: float) -> None:
    try:
        done = subprocess.run(
            [npm, "ci", *_OPTIONS], cwd=folder, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise NpmError(f"npm was not done within {seconds:.0f} s") from None
    if done.returncode:
        raise NpmError(f"npm failed: {done.stderr.strip()[-500:]}")
