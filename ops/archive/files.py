"""The archive's files: written atomically, and read back only if their checksum is right."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from uuid import UUID

import msgspec

from ops.archive.lines import FORMATS, Row

_FORMAT: Final = 1
_LEVEL: Final = 6
_MANIFEST: Final = ".manifest.json"
_PART: Final = ".part"
_CHUNK_BYTES: Final = 1 << 20


class BadArchive(Exception):
    """A file of the archive is damaged or missing; the text says which."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds: `rows` of `table` of the log `log`, from the bound `start` up to, not including, `end`; bounds
    are seqs of events, and for commands milliseconds of Unix time. `sha256` is that of the file, as `sha256sum` prints
    it."""

    format: int = _FORMAT
    log: UUID
    table: str
    start: int
    end: int
    rows: int
    file: str
    bytes: int = 0
    sha256: str = ""
    written_at: datetime


_manifest: Final = msgspec.json.Decoder(Manifest)


class Content(NamedTuple):
    """How many rows a file has, and the digest of its lines."""

    rows: int
    digest: bytes


class Writer:
    """Writes one file. A context manager; the file appears only when `finish` is called."""

    def __init__(self, path: Path, table: str) -> None:
        self._path = path
        self._line = FORMATS[table].line
        self._rows = 0
        self._digest = hashlib.blake2b()
        self._part = path.with_name(path.name + _PART)
        self._raw = self._part.open("wb")
        # Without a name and a time, so that the same rows always make the same file.
        self._lines = gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=self._raw, mtime=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._raw.close()
        self._part.unlink(missing_ok=True)

    def write(self, rows: Sequence[Row]) -> None:
        """Adds rows."""
        lines = b"".join(map(self._line, rows))
        self._digest.update(lines)
        self._lines.write(lines)
        self._rows += len(rows)

    def finish(self) -> Content:
        """Puts the complete file on disk, replacing any earlier one of its name."""
        self._lines.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._part.replace(self._path)
        sync(self._path.parent)
        return Content(self._rows, self._digest.digest())


def sync(folder: Path) -> None:
    """Makes renames in the folder durable."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def checksum(path: Path) -> tuple[int, str]:
    """The size of a file and its SHA-256."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def rows(path: Path, table: str) -> Iterator[Row]:
    """The rows of a file. Raises BadArchive if it cannot be read."""
    return (row for row, _ in _read(path, table))


def content(path: Path, table: str) -> Content:
    """The content of a file, whose rows must be in order of their keys. Raises BadArchive."""
    digest, count = hashlib.blake2b(), 0
    before: Any = None
    for row, line in _read(path, table):
        if count and row[0] <= before:
            raise BadArchive(f"{path}: {row[0]} comes after {before}")
        before = row[0]
        count += 1
        digest.update(line)
    return Content(count, digest.digest())


def _read(path: Path, table: str) -> Iterator[tuple[Row, bytes]]:
    row_of = FORMATS[table].row
    try:
        with gzip.open(path, "rb") as lines:
            for line in lines:
                yield row_of(line), line
    except (OSError, EOFError, msgspec.MsgspecError) as error:
        raise BadArchive(f"{path}: {error}") from error


def name_of(table: str, start: int, end: int) -> str:
    """The name of a file. Names sort in the order of their bounds."""
    return f"{table}-{start:015}-{end:015}.jsonl.gz"


def put(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest, from which on its file counts as archived."""
    path = folder / (manifest.file + _MANIFEST)
    part = path.with_name(path.name + _PART)
    with part.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync(folder)


def manifests(folder: Path, table: str) -> list[Manifest]:
    """The manifests in the folder, in order. Raises BadArchive."""
    found = []
    for path in sorted(folder.glob(f"{table}-*{_MANIFEST}")):
        try:
            manifest = _manifest.decode(path.read_bytes())
        except msgspec.MsgspecError as error:
            raise BadArchive(f"{path}: {error}") from error
        if manifest.format != _FORMAT:
            raise BadArchive(f"{path} was written by a later release")
        found.append(manifest)
    return sorted(found, key=lambda each: (each.start, each.end))


def check(folder: Path, manifest: Manifest) -> None:
    """Raises BadArchive if the file does not match its manifest."""
    path = folder / manifest.file
    try:
        found = checksum(path)
    except OSError as error:
        raise BadArchive(f"{path}: {error}") from error
    if found != (manifest.bytes, manifest.sha256):
        raise BadArchive(f"{path} is not what was written: its SHA-256 is {found[1]}, not {manifest.sha256}")
