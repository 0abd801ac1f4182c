"""Splits a stream of bytes into records, each with the physical line it begins on and the offset it ends at.

A CSV record (RFC 4180) may span several lines inside quotes; a JSON Lines record is one line. Nothing in a file stops
the reading: after a record that cannot be read, the next one begins on the line after its first, so an unclosed quote
costs one row and not the rest of the file. Memory holds at most the longest row and two pieces of the stream.

The time is linear in the file, whatever it holds. How a line inside quotes continues does not depend on where they were
opened, so each line is read at most once as the beginning of a record, once inside quotes that are never closed, and
once inside quotes that are.
"""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Iterator
from typing import Final, NamedTuple

from runtime.listings.columns import CSV, ROW_MAX_BYTES, UTF8_MARK
from runtime.listings.encodings import UTF_8

# Buffered before a record is read: a line that does not end within this is too long.
_AHEAD_BYTES: Final = ROW_MAX_BYTES + len(b"\r\n")


class Problem(NamedTuple):
    """Why a record cannot be read: a stable code and a sentence."""

    code: str
    detail: str


class Record(NamedTuple):
    """`line` is the physical line (from 1) it begins on, `next_line` and `next_offset` where the next one begins.
    `cells` is empty except for CSV."""

    line: int
    data: bytes
    next_line: int
    next_offset: int
    cells: list[str]
    problem: Problem | None = None

    @property
    def blank(self) -> bool:
        """Whether it is an empty line, or a line of empty cells, as spreadsheets leave them."""
        if self.problem is not None:
            return False
        return not any(map(str.strip, self.cells)) if self.cells else not self.data.strip()


class _Unclosed(NamedTuple):
    """A quote that is open at the beginning of any line before `until` (an offset in the file) is still open there.
    `error`, if any, is what is wrong with the way the line there closes it."""

    until: int
    error: str | None


class Records:
    """The records of a file from `offset` (bytes) and `line` on; iterate over it once. `pieces` are the file's bytes
    from that offset on, in UTF-8; `encoding` is the one they were converted from."""

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        form: str,
        *,
        offset: int = 0,
        line: int = 1,
        separator: str = ",",
        line_end: bytes = b"\n",
        encoding: str = UTF_8,
    ) -> None:
        # A field may be as long as its row; csv's own bound is lower, and would depend on where the field begins.
        csv.field_size_limit(ROW_MAX_BYTES)
        self._pieces = pieces
        self._is_csv = form == CSV
        self._separator = separator
        self._line_end = line_end
        self._encoding = encoding
        self._buffer = b""
        self._begin = 0  # of the next record, in the buffer
        self._offset = offset  # of the buffer's first byte, in the file
        self._line = line
        self._whole = False  # the buffer reaches the end of the file
        self._unclosed = _Unclosed(0, None)

    async def __aiter__(self) -> AsyncIterator[Record]:
        await self._read_more()
        while self._offset + self._begin == 0 and self._buffer.startswith(UTF8_MARK, self._begin):
            self._begin += len(UTF8_MARK)
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
        """Skips a line that is too long for a row, whatever its length."""
        line = self._line
        while (end := self._buffer.find(self._line_end, self._begin)) < 0 and not self._whole:
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
                cells = self._read(begin)
            except csv.Error as error:
                problem = Problem("malformed_csv", f"{str(error).capitalize()}.")
            except _RowTooLong:
                problem = _ROW_TOO_LONG
        if not self._is_csv or problem is not None:
            self._begin = self._end_of_line(begin)
            self._line = line + 1
        data = self._buffer[begin : self._begin].rstrip(b"\r\n")
        return Record(line, data, self._line, self._offset + self._begin, cells, problem or self._unreadable(data))

    def _read(self, begin: int) -> list[str]:
        """The cells of the record that begins there; moves `self._begin` and `self._line` past it. Raises csv.Error and
        _RowTooLong."""
        line = self._line
        lines = _Lines(self, begin)
        try:
            cells = next(self._reader(lines), [])
        except csv.Error as error:
            if lines.went_on:
                # At the end of the file, nothing follows the open quote.
                self._unclosed = _Unclosed(self._offset + lines.last, str(error))
            raise
        except _RowTooLong:
            self._unclosed = _Unclosed(self._offset + lines.end, None)
            raise
        if lines.jumped:  # closed after all, so read the lines jumped over
            self._unclosed = _Unclosed(0, None)
            lines = _Lines(self, begin)
            cells = next(self._reader(lines), [])
        self._begin = lines.end
        self._line = line + lines.taken
        return cells

    def _reader(self, lines: _Lines) -> Iterator[list[str]]:
        return csv.reader(lines, delimiter=self._separator, strict=True)

    def _end_of_line(self, begin: int) -> int:
        """Where the line that begins there ends, with its line break; without one, the end of the buffer."""
        end = self._buffer.find(self._line_end, begin)
        return len(self._buffer) if end < 0 else end + 1

    def _unreadable(self, data: bytes) -> Problem | None:
        """Why a record's bytes are not valid text, or None."""
        try:
            data.decode()
        except UnicodeDecodeError as error:
            if self._encoding != UTF_8:
                return Problem("undecodable", f"The row is not valid {self._encoding} text.")
            return Problem("invalid_utf8", f"Byte {error.start + 1} of the row is not valid UTF-8: {error.reason}.")
        return None


class _Lines:
    """The physical lines of one record, as many as its reader takes: `taken` so far, up to `end` in the buffer; the
    last one begins at `last`. Invalid UTF-8 comes through as surrogates, so that it ends no record."""

    def __init__(self, records: Records, begin: int) -> None:
        self._records = records
        self._begin = begin
        self.last = self.end = begin
        self.taken = 0
        self.jumped = False

    @property
    def went_on(self) -> bool:
        """Whether the first line left a quote open."""
        return self.taken > 1 or self.end == len(self._records._buffer)

    def __iter__(self) -> Iterator[str]:
        records = self._records
        buffer = records._buffer
        old_line_end = records._line_end == b"\r"
        while self.end < len(buffer):
            if self.taken == 1:
                self._jump()
            start, end = self.end, records._end_of_line(self.end)
            if end - self._begin > _AHEAD_BYTES:
                raise _RowTooLong
            self.last, self.end = start, end
            self.taken += 1
            text = buffer[start:end].decode(errors="surrogateescape")
            yield text.replace("\r", "\n") if old_line_end else text

    def _jump(self) -> None:
        """Skips the lines that are known to leave the quote open."""
        until, error = self._records._unclosed
        if self.end > (until := until - self._records._offset):
            return
        if error is not None:
            self.last = until
            self.taken += 1
            raise csv.Error(error)
        if until > self.end:
            self.end = until
            self.jumped = True


class _RowTooLong(Exception):
    """A record is longer than a row may be; perhaps a quote was left open."""


_ROW_TOO_LONG: Final = Problem("row_too_long", f"A row may have at most {ROW_MAX_BYTES} bytes; is a quote left open?")
