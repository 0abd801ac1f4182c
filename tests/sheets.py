"""Files read as an import reads them, up to the rows: what each contains, or why it is not used."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec

from runtime.listings.columns import CSV
from runtime.listings.encodings import head_as_utf8
from runtime.listings.headers import find_header
from runtime.listings.layout import Layout
from runtime.listings.presets.base import Aside
from runtime.listings.records import Records
from runtime.listings.rows import BadRow, Row
from runtime.listings.sheets import Sheet, knows

REMEMBERED = 1_000


class Read(NamedTuple):
    """What was read from a file: rows (only their values), and why others were skipped or rejected (with the column),
    by line; and the ignored columns."""

    rows: dict[int, dict[str, Any]]
    aside: dict[int, str]
    rejected: dict[int, tuple[str, str | None, str]]
    ignored: tuple[str, ...]


async def read(data: bytes, **layout: Any) -> Read:
    """The rows of a whole file."""
    how = Layout(**layout)
    data = head_as_utf8(data, None)
    header = find_header(data, knows(how), how.separator)
    sheet = Sheet(header.names, how, REMEMBERED)

    async def pieces() -> AsyncIterator[bytes]:
        yield data[header.next_offset :]

    found = Records(
        pieces(),
        CSV,
        offset=header.next_offset,
        line=header.next_line,
        separator=header.separator,
        line_end=header.line_end,
    )
    records = [record async for record in found if not record.blank]
    if sheet.must_be_surveyed:
        for record in records:
            sheet.survey(record.line, record.cells)
    result = Read({}, {}, {}, sheet.ignored)
    for record in records:
        try:
            result.rows[record.line] = said(sheet.read(record.line, record.cells))
        except Aside as aside:
            result.aside[record.line] = str(aside)
        except BadRow as bad:
            result.rejected[record.line] = bad.code, bad.column, bad.detail
    return result


def said(row: Row) -> dict[str, Any]:
    """The values of a row."""
    return {name: value for name, value in msgspec.structs.asdict(row).items() if value not in (None, msgspec.UNSET)}
