"""The file of an import as its job reads it: its encoding detected, converted to UTF-8, cut into records, and checked
for completeness. A run that continues where another left off reads the same file the same way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

from runtime.listings.columns import CSV, ROW_MAX_BYTES
from runtime.listings.encodings import UTF_8, Evidence, as_utf8, resolved
from runtime.listings.headers import Header, find_header
from runtime.listings.records import Record, Records
from runtime.tables.jobs import PART_BYTES
from workers.jobs.kinds import Tools

_HEAD_BYTES: Final = ROW_MAX_BYTES


class Upload:
    """The file of a job. `read_bytes` is how much of it has been read, as it was sent."""

    def __init__(self, tools: Tools, form: str, encoding: str) -> None:
        self.encoding = encoding
        self.read_bytes = 0
        self._tools = tools
        self._form = form

    @classmethod
    async def opened(cls, tools: Tools, form: str, named: str | None) -> Upload:
        """The file, in its `named` encoding or else the detected one: for that it is read until enough non-ASCII bytes
        have been seen."""
        if form != CSV:
            return cls(tools, form, UTF_8)
        evidence = Evidence()
        async for _, piece in tools.upload():
            if named is not None:
                return cls(tools, form, resolved(named, piece))
            evidence.add(piece)
            if evidence.enough:
                break
        return cls(tools, form, named or evidence.encoding())

    async def header(self, is_known: Callable[[str], bool], separator: str | None) -> Header:
        """The layout of a CSV file, from its header. Raises BadHeader."""
        head = b""
        async for piece in self._utf8(0):
            head += piece
            if len(head) >= _HEAD_BYTES:
                break
        return find_header(head, is_known, separator)

    async def records(self, header: Header | None, *, offset: int, line: int) -> AsyncIterator[Record]:
        """The records from `offset` (in bytes of UTF-8) and `line` on."""
        pieces = self._utf8(offset)
        if header is None:
            records = Records(pieces, self._form, offset=offset, line=line)
        else:
            records = Records(
                pieces,
                self._form,
                offset=offset,
                line=line,
                separator=header.separator,
                line_end=header.line_end,
                encoding=self.encoding,
            )
        async for record in records:
            yield record

    async def _utf8(self, offset: int) -> AsyncIterator[bytes]:
        """The file from `offset` (in bytes of UTF-8) on. A UTF-8 file is read from the part with the offset; any other
        from its beginning."""
        start = offset if self.encoding == UTF_8 else 0
        skip = offset - start
        async for piece in as_utf8(self._sent(start), self.encoding):
            if skip < len(piece):
                yield piece[skip:] if skip else piece
                skip = 0
            else:
                skip -= len(piece)

    async def _sent(self, offset: int) -> AsyncIterator[bytes]:
        """The file as it was sent, from `offset` (bytes) on."""
        part, skipped = divmod(offset, PART_BYTES)
        self.read_bytes = offset
        async for _, data in self._tools.upload(after_part=part - 1):
            piece = data[skipped:]
            skipped = 0
            self.read_bytes += len(piece)
            yield piece
