"""The home of a running `tidegate up`: only one may run in it, and other commands find its servers there.

The embedded servers' ports change with every start, so `up` writes their URLs to a file; the lock tells whether the
file is current.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_LOCK: Final = "lock"
_RUNNING: Final = "running.json"
_RESTARTED: Final = "restarted"
_SERVERS: Final = ("DATABASE_URL", "REDIS_URL", "TIDEGATE_DATABASE_URL", "TIDEGATE_REDIS_URL")


class HomeTaken(Exception):
    """Another `tidegate up` is running in this home."""


@contextmanager
def taken(home: Path) -> Iterator[None]:
    """Locks this home. The system releases the lock when we exit, however that happens."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / _LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HomeTaken(f"another `tidegate up` is running in {home}: stop it, or set TIDEGATE_HOME") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def announced(home: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Publishes these environment variables to other commands. They contain passwords, so only the owner can read
    them."""
    path = home / _RUNNING
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(dict(environment)))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def holder(home: Path) -> int | None:
    """The process id of the `tidegate up` running in this home, or None."""
    return int((home / _LOCK).read_text()) if announcement(home) else None


def announcement(home: Path) -> dict[str, str]:
    """What the `tidegate up` running in this home announced; empty if none is running."""
    try:
        with (home / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pass  # locked: one is running
    except FileNotFoundError:
        return {}
    else:
        return {}
    try:
        environment = json.loads((home / _RUNNING).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}  # it is starting or stopping
    assert isinstance(environment, dict)
    return environment


def tell_restarted(home: Path, trouble: str) -> None:
    """Records that the processes were restarted, or why not."""
    unfinished = home / f"{_RESTARTED}.unfinished"
    unfinished.write_text(trouble)
    unfinished.replace(home / _RESTARTED)


def told_restarted(home: Path) -> str | None:
    """The last recorded result of a restart, which is then removed; None if there is none."""
    try:
        trouble = (home / _RESTARTED).read_text()
    except FileNotFoundError:
        return None
    (home / _RESTARTED).unlink()
    return trouble


def join_running(environment: MutableMapping[str, str]) -> None:
    """Adds the servers of the `tidegate up` running here to the environment, unless it names others."""
    if any(environment.get(name) for name in _SERVERS):
        return
    for name, value in announcement(Path(environment.get("TIDEGATE_HOME", ".tidegate"))).items():
        environment.setdefault(name, value)
