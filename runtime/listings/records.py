"""Cuts a stream of bytes into records, each with the physical line it begins on and the offset it ends at.

A CSV record (RFC 4180) may go on over several lines inside quotes; a record of JSON Lines is a line. Nothing that a
file holds ends the reading: behind a record that cannot be read the next one begins on the line after the one where it
began, so an open quote costs one row and not the rest of the file. No more is kept in memory than the longest row and
two pieces of the stream.
"""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Iterator
from typing import Final, NamedTuple

from runtime.listings.columns import BYTE_ORDER_MARK, CSV, ROW_MAX_BYTES

# In the buffer before a record is read: then a line that does not end in it is too long.
_AHEAD_BYTES: Final = ROW_MAX_BYTES + len(b"\r\n")


class Problem(NamedTuple):
    """Why a record cannot be read: a stable code and a sentence."""

    code: str
    detail: str


class Record(NamedTuple):
    """`line` is the physical line (from 1) it begins on, `next_line` and `next_offset` where the next one begins.
    `cells` are those of a CSV record."""

    line: int
    data: bytes
    next_line: int
    next_offset: int
    cells: list[str]
    problem: Problem | None = None

    @property
    def blank(self) -> bool:
        """Whether there is nothing in it: an empty line, or one of empty cells, as spreadsheets leave them."""
        return self.problem is None and not self.data.strip(b" \t\r\n,")


class Records:
    """The records of a file from `offset` (bytes) and `line` on: async-iterate over it, once. `pieces` are the file's
    bytes from that offset on."""

    def __init__(self, pieces: AsyncIterator[bytes], form: str, *, offset: int = 0, line: int = 1) -> None:
        self._pieces = pieces
        self._is_csv = form == CSV
        self._buffer = b""
        self._begin = 0  # in the buffer, of the record that comes next
        self._offset = offset  # in the file, of the buffer's first byte
        self._line = line
        self._whole = False  # the buffer holds the file's end

    async def __aiter__(self) -> AsyncIterator[Record]:
        await self._read_more()
        if self._offset == 0 and self._buffer.startswith(BYTE_ORDER_MARK):
            self._begin = len(BYTE_ORDER_MARK)
        while True:
            if not self._whole and len(self._buffer) - self._begin <= _AHEAD_BYTES:
                await self._read_more()
            elif self._begin == len(self._buffer):
                return
            elif self._end_of_line(self._begin) - self._begin > _AHEAD_BYTES:
                yield await self._skip_line()
            else:
                yield self._next()

    async def _read_more(self) -> None:
        piece = await anext(self._pieces, None)
        if piece is None:
            self._whole = True
            return
        self._buffer = self._buffer[self._begin :] + piece
        self._offset += self._begin
        self._begin = 0

    async def _skip_line(self) -> Record:
        """Passes over a line that is longer than any row, however long it is."""
        line = self._line
        while (end := self._buffer.find(b"\n", self._begin)) < 0 and not self._whole:
            self._begin = len(self._buffer)
            await self._read_more()
        self._begin = len(self._buffer) if end < 0 else end + 1
        self._line += 1
        return Record(line, b"", self._line, self._offset + self._begin, [], _ROW_TOO_LONG)

    def _next(self) -> Record:
        begin, line = self._begin, self._line
        cells: list[str] = []
        problem: Problem | None = None
        if self._is_csv:
            try:
                cells = next(csv.reader(self._lines(begin), strict=True), [])
            except csv.Error as error:
                problem = Problem("malformed_csv", f"{str(error).capitalize()}.")
            except _RowTooLong:
                problem = _ROW_TOO_LONG
        if not self._is_csv or problem is not None:
            self._begin = self._end_of_line(begin)
            self._line = line + 1
        data = self._buffer[begin : self._begin].rstrip(b"\r\n")
        return Record(line, data, self._line, self._offset + self._begin, cells, problem or _unreadable(data))

    def _lines(self, begin: int) -> Iterator[str]:
        """The physical lines from `begin` on, as far as the reader of one record asks for them: it has read up to
        `self._begin`. Bytes that are no UTF-8 come through as surrogates, so that they end no record."""
        end = begin
        while end < len(self._buffer):
            start, end = end, self._end_of_line(end)
            if end - begin > _AHEAD_BYTES:
                raise _RowTooLong
            self._begin = end
            self._line += 1
            yield self._buffer[start:end].decode(errors="surrogateescape")

    def _end_of_line(self, begin: int) -> int:
        """Where the line that begins there ends, with its line break; of one that has no end, where the buffer ends."""
        end = self._buffer.find(b"\n", begin)
        return len(self._buffer) if end < 0 else end + 1


class _RowTooLong(Exception):
    """A record that goes on and on: perhaps a quote was left open."""


_ROW_TOO_LONG: Final = Problem("row_too_long", f"A row has at most {ROW_MAX_BYTES} bytes; is a quote left open?")


def _unreadable(data: bytes) -> Problem | None:
    """Why a record's bytes are no text, if so."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return Problem("invalid_utf8", f"Byte {error.start + 1} of the row is no UTF-8: {error.reason}.")
    return None
