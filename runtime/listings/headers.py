"""Finds the header of a CSV file, after any empty lines and byte order marks, and with it the separator and line ends.

Reads UTF-8, and only the first piece of a file, in linear time whatever it holds.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from runtime.listings.columns import HEADER_MAX_BYTES, HEADER_MAX_COLUMNS, MARK, UTF8_MARK

SEPARATORS: Final = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
"""By their names in a request."""

_NOTHING: Final = " \t\r\n,;|\"'\u00a0" + MARK
_SEPARATOR_LINE: Final = "sep="
"""Excel names the separator this way, on a line of its own before the header."""


class BadHeader(Exception):
    """The header of a CSV file is missing or cannot be used."""


class Header(NamedTuple):
    """The columns as named, how the file is written, and where its rows begin (in bytes of UTF-8)."""

    names: tuple[str, ...]
    separator: str
    line_end: bytes
    next_line: int
    next_offset: int


def find_header(data: bytes, is_known: Callable[[str], bool], separator: str | None = None) -> Header:
    """The header in the first piece of a file, or in all of it. Unless given, the separator is the one that finds the
    most columns that `is_known`, and among equals the most columns. Raises BadHeader."""
    line_end = b"\n" if b"\n" in data or b"\r" not in data else b"\r"
    offset, line = 0, 1
    while offset < len(data):
        while data.startswith(UTF8_MARK, offset):
            offset += len(UTF8_MARK)
        end = _end_of_line(data, offset, line_end)
        if end - offset > HEADER_MAX_BYTES:
            raise _too_long()
        text = data[offset:end].decode(errors="replace")
        if text.lower().startswith(_SEPARATOR_LINE) and len(text.strip("\r\n")) == len(_SEPARATOR_LINE) + 1:
            separator = separator or text[len(_SEPARATOR_LINE)]
        elif text.strip(_NOTHING):
            return _read(data, offset, line, line_end, is_known, separator)
        offset, line = end, line + 1
    raise BadHeader("The file is empty." if not data.strip() else "The file has no header line.")


def _read(
    data: bytes, offset: int, line: int, line_end: bytes, is_known: Callable[[str], bool], separator: str | None
) -> Header:
    found: list[tuple[int, int, Header]] = []
    mistake = ""
    for one in [separator] if separator else SEPARATORS.values():
        lines = _Lines(data, offset, line_end)
        try:
            cells = next(csv.reader(lines, delimiter=one, strict=True), [])
        except csv.Error as error:
            mistake = mistake or str(error)
            continue
        names = tuple(cell.strip().strip(MARK).strip() for cell in cells[: HEADER_MAX_COLUMNS + 1])
        header = Header(names, one, line_end, line + lines.taken, lines.end)
        found.append((sum(map(is_known, set(names))), len(names), header))
    if not found:
        raise BadHeader(f"The header line cannot be read: {mistake}.")
    _, columns, header = max(found, key=lambda each: each[:2])
    if columns > HEADER_MAX_COLUMNS:
        raise BadHeader(f"A file may have at most {HEADER_MAX_COLUMNS:,} columns.")
    if any("\ufffd" in name for name in header.names):
        raise BadHeader("The header line is not valid text in the file's encoding.")
    return header


class _Lines:
    """The physical lines from an offset on, as many as the reader of one record takes."""

    def __init__(self, data: bytes, offset: int, line_end: bytes) -> None:
        self._data = data
        self._begin = self.end = offset
        self._line_end = line_end
        self.taken = 0

    def __iter__(self) -> Iterator[str]:
        while self.end < len(self._data):
            start, self.end = self.end, _end_of_line(self._data, self.end, self._line_end)
            if self.end - self._begin > HEADER_MAX_BYTES:
                raise _too_long()
            self.taken += 1
            yield self._data[start : self.end].decode(errors="replace")


def _end_of_line(data: bytes, begin: int, line_end: bytes) -> int:
    end = data.find(line_end, begin)
    return len(data) if end < 0 else end + 1


def _too_long() -> BadHeader:
    return BadHeader(f"The header line may have at most {HEADER_MAX_BYTES:,} bytes; is a quote left open?")


def listed(names: Sequence[str], most: int) -> str:
    """Names as a list in a sentence, the first `most` of them."""
    shown = ", ".join(f"`{name[:40]}`" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"
