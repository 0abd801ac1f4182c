"""The folder in which the processes of one machine keep their metrics, so that each of them can show the sum of all.

Every process has files of its own there, one for each kind of metric (`counter_ID.db`, `gauge_livesum_ID.db`), in
prometheus_client's format, and `alive_ID`, which it keeps locked for as long as it lives; the system releases the lock
however it dies. Unlike a pid, an ID is used only once.

The gauges of a process vanish with it, but its counts must be kept. They are added to the archive, one file for all
dead processes, so there are never more files than living processes need. The archive names the processes merged into
it. It is replaced atomically, and their files are removed after that; a reader in between, or after a crash, skips the
files of processes that the archive names. So nothing is ever counted twice or left out.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import msgspec
from prometheus_client.mmap_dict import MmapedDict

_ALIVE: Final = "alive"
_JOINING: Final = "joining"
_ARCHIVE: Final = "archive.json"
_ARCHIVE_NEXT: Final = "archive.next"
_MERGING: Final = "merging"
EXEMPLARS: Final = "exemplars"
"""The kind of the file with a process's exemplars, which holds no values."""
_GAUGE: Final = "gauge"

# The kind of a file, and the ID of its process.
_NAME: Final = re.compile(r"(?P<kind>[a-z_]+)_(?P<identity>[0-9]+-[0-9a-f]+)(?:\.db)?")

_NOT_VALUES: Final = (_ALIVE, EXEMPLARS)

# The header of a file, which says how much of it is in use.
_HEAD_BYTES: Final = 8

Values: TypeAlias = dict[str, dict[str, tuple[float, float]]]
"""By kind of file (`counter`, `histogram`, `gauge_livesum`) and by the library's key for a sample: the value and, for
gauges that record it, when it was set."""

_Combine: TypeAlias = Callable[[tuple[float, float], tuple[float, float]], tuple[float, float]]
_Counts: TypeAlias = dict[str, dict[str, float]]


class _Archive(msgspec.Struct):
    """What all dead processes have counted. `merged` are the last ones added, whose files may not be removed yet."""

    merged: set[str] = msgspec.field(default_factory=set)
    counts: _Counts = msgspec.field(default_factory=dict)


class _Stamp(NamedTuple):
    """Identifies a version of the archive file."""

    inode: int
    changed_at: int
    size: int


class Folder:
    """The folder at `path`, which exists."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: int | None = None
        self._identity = ""
        self._known: tuple[_Stamp | None, _Archive] = None, _Archive()

    def join(self) -> str:
        """Registers this process as alive under a new ID, and returns that; in a forked process, it replaces the
        parent's. Call it before the process has files there."""
        if self._lock is not None:
            os.close(self._lock)  # the parent's lock, which the parent keeps
        while True:
            identity = f"{os.getpid()}-{time.time_ns():x}"
            joining = self._path / f"{_JOINING}_{identity}"
            self._lock = os.open(joining, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):  # another process took it for a dead one's before it was locked
                joining.rename(self._path / f"{_ALIVE}_{identity}")
                self._identity = identity
                return identity
            os.close(self._lock)

    def read(self) -> Values:
        """The sums over all processes, dead ones included; of gauges, over the living ones. No counter is ever lower
        than in an earlier reading."""
        while True:
            stamp, archive = self._archive()
            with suppress(FileNotFoundError):  # another process is just merging
                values = self._sum(archive)
                if self._stamp() == stamp:
                    return values

    def put(self, kind: str, content: bytes) -> None:
        """Writes a file of this process, which vanishes with it. Readers may see it half written."""
        (self._path / f"{kind}_{self._identity}").write_bytes(content)

    def contents(self, kind: str) -> Iterator[bytes]:
        """The files of this kind that living processes have put there."""
        files = self._files()
        dead = self._dead(files)
        for identity, of_process in files.items():
            if kind in of_process and identity not in dead:
                with suppress(FileNotFoundError):
                    yield of_process[kind].read_bytes()

    def merge_dead(self) -> None:
        """Adds what dead processes counted to the archive, and removes their files, unless another process is doing
        so."""
        with self._merging() as ours:
            if not ours:
                return
            for file in self._path.glob(f"{_JOINING}_*"):
                if not _is_locked(file):
                    file.unlink(missing_ok=True)
            dead = self._dead(self._files())
            if not dead:
                return
            files = self._files()  # again: a process found dead may have created files after the first look
            _, archive = self._archive()
            if not dead <= archive.merged:
                counts = {kind: dict(of_kind) for kind, of_kind in archive.counts.items()}
                for identity in dead - archive.merged:
                    for kind, file in files[identity].items():
                        if not _vanishes(kind):
                            _add(counts.setdefault(kind, {}), {key: value for key, value, _ in _samples(file)})
                self._replace(_Archive(dead, counts))
            for identity in dead:
                for file in files[identity].values():
                    file.unlink(missing_ok=True)

    def _sum(self, archive: _Archive) -> Values:
        values: Values = {kind: {key: (v, 0.0) for key, v in each.items()} for kind, each in archive.counts.items()}
        files = self._files()
        dead = self._dead(files)
        for identity, of_process in files.items():
            if identity in archive.merged:
                continue
            for kind, file in of_process.items():
                if kind in _NOT_VALUES or (_vanishes(kind) and identity in dead):
                    continue
                combine = _COMBINED.get(kind, _added)
                known = values.setdefault(kind, {})
                for key, value, set_at in _samples(file):
                    here = value, set_at
                    known[key] = combine(known[key], here) if key in known else here
        return values

    def _files(self) -> dict[str, dict[str, Path]]:
        """The files of each process, by kind."""
        found: dict[str, dict[str, Path]] = {}
        for file in self._path.iterdir():
            name = _NAME.fullmatch(file.name)
            if name is not None and name["kind"] != _JOINING:
                found.setdefault(name["identity"], {})[name["kind"]] = file
        return found

    @staticmethod
    def _dead(files: Mapping[str, Mapping[str, Path]]) -> set[str]:
        return {identity for identity, of_process in files.items() if not _is_locked(of_process.get(_ALIVE))}

    def _archive(self) -> tuple[_Stamp | None, _Archive]:
        stamp = self._stamp()
        if stamp != self._known[0]:
            try:
                with (self._path / _ARCHIVE).open("rb") as file:
                    stamp = _stamp_of(os.fstat(file.fileno()))
                    self._known = stamp, msgspec.json.decode(file.read(), type=_Archive)
            except FileNotFoundError:
                self._known = None, _Archive()
        return self._known

    def _stamp(self) -> _Stamp | None:
        try:
            return _stamp_of((self._path / _ARCHIVE).stat())
        except FileNotFoundError:
            return None

    def _replace(self, archive: _Archive) -> None:
        following = self._path / _ARCHIVE_NEXT
        following.write_bytes(msgspec.json.encode(archive))
        following.replace(self._path / _ARCHIVE)

    @contextmanager
    def _merging(self) -> Iterator[bool]:
        """Takes the lock for merging; yields False if another process has it."""
        lock = os.open(self._path / _MERGING, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(lock)


def _vanishes(kind: str) -> bool:
    """Whether the values in such files vanish with their process."""
    return kind in _NOT_VALUES or kind.startswith(_GAUGE)


def _is_locked(file: Path | None) -> bool:
    """Whether the process that owns this file is alive."""
    if file is None:
        return False
    try:
        lock = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _samples(file: Path) -> Iterable[tuple[str, float, float]]:
    """The samples of a file: key, value, and when it was set. Empty for a file that has just been created."""
    if file.stat().st_size < _HEAD_BYTES:
        return []
    read = MmapedDict.read_all_values_from_file(str(file))  # type: ignore[no-untyped-call]  # the library has no types
    return ((key, value, set_at) for key, value, set_at, _ in read)


def _add(counts: dict[str, float], more: Mapping[str, float]) -> None:
    for key, value in more.items():
        counts[key] = counts.get(key, 0.0) + value


def _added(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return one[0] + other[0], 0.0


def _newest(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return max(one, other, key=lambda each: each[1])


# How the gauges of several processes are combined, by the mode in which they were declared.
_COMBINED: Final[Mapping[str, _Combine]] = {
    "gauge_livesum": _added,
    "gauge_livemax": max,
    "gauge_livemin": min,
    "gauge_livemostrecent": _newest,
}


def _stamp_of(status: os.stat_result) -> _Stamp:
    return _Stamp(status.st_ino, status.st_mtime_ns, status.st_size)
