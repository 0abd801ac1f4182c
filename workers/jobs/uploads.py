"""The file of an import as its job reads it: its encoding found, turned into UTF-8, cut into records, and checked to be
whole. A run that goes on where another left off reads the same file the same way."""

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
    """The file of a job. `read_bytes` says how far it was read, as it was sent."""

    def __init__(self, tools: Tools, form: str, encoding: str) -> None:
        self.encoding = encoding
        self.read_bytes = 0
        self._tools = tools
        self._form = form

    @classmethod
    async def opened(cls, tools: Tools, form: str, named: str | None) -> Upload:
        """The file, in the encoding that was `named` for it, or else the one that it seems to have: for that it is
        read until it has shown enough of its bytes beyond ASCII."""
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
        """What a CSV file says of itself. Raises BadHeader."""
        head = b""
        async for piece in self._utf8(0):
            head += piece
            if len(head) >= _HEAD_BYTES:
                break
        return find_header(head, is_known, separator)

    async def records(self, header: Header | None, *, offset: int, line: int) -> AsyncIterator[Record]:
        """The records from `offset` (bytes of the UTF-8) and `line` on."""
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
        """The file from `offset` (bytes of the UTF-8) on. What is UTF-8 already leads to its part; anything else is
        read from its beginning."""
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
