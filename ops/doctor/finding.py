"""The doctor's findings, and judgements that several of its parts share."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final, Literal

import msgspec

# Tokens, holds and reports depend on the clocks of gateways, workers and Postgres.
CLOCKS_APART_SECONDS: Final = 1.0
CLOCKS_FAR_APART_SECONDS: Final = 10.0

_FREE_MIN_BYTES: Final = 2**30
_FREE_LOW_BYTES: Final = 5 * 2**30


class Finding(msgspec.Struct, frozen=True):
    """The result of one check. `advice` says what to do, unless all is well. A `failure` breaks a promise, or soon
    will; a `warning` may be intentional."""

    check: str
    level: Literal["ok", "warning", "failure"]
    said: str
    advice: str | None = None


def ok(check: str, said: str) -> Finding:
    return Finding(check, "ok", said)


def warning(check: str, said: str, advice: str) -> Finding:
    return Finding(check, "warning", said, advice)


def failure(check: str, said: str, advice: str) -> Finding:
    return Finding(check, "failure", said, advice)


def clock(check: str, apart_seconds: float) -> Finding:
    """The finding about a server's clock that is `apart_seconds` ahead of ours."""
    said = f"{abs(apart_seconds):.1f} s {'ahead of' if apart_seconds > 0 else 'behind'} this machine"
    advice = "synchronize the clocks of all machines (chrony, systemd-timesyncd)"
    if abs(apart_seconds) > CLOCKS_FAR_APART_SECONDS:
        return failure(check, said, advice)
    if abs(apart_seconds) > CLOCKS_APART_SECONDS:
        return warning(check, said, advice)
    return ok(check, "the same as here, within a second")


def disk(check: str, folder: Path) -> Finding:
    """The finding about the file system of a folder, or of its nearest existing parent."""
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    return judge_disk(check, existing, shutil.disk_usage(existing).free)


def judge_disk(check: str, folder: Path, free_bytes: int) -> Finding:
    said = f"{free_bytes / 2**30:.1f} GiB free in {folder}"
    advice = "make room, or move the folder to a larger disk"
    if free_bytes < _FREE_MIN_BYTES:
        return failure(check, said, advice)
    return warning(check, said, advice) if free_bytes < _FREE_LOW_BYTES else ok(check, said)
