"""Records of a listing: split from any stream of bytes, with their line numbers; a bad one does not affect the
others."""

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.listings.columns import CSV, JSON_LINES, ROW_MAX_BYTES
from runtime.listings.records import Record, Records


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def records(data: bytes, form: str = CSV, *, size: int = 7, offset: int = 0, line: int = 1) -> list[Record]:
    return [record async for record in Records(pieces(data[offset:], size), form, offset=offset, line=line)]


def told(found: list[Record]) -> list[tuple[int, list[str] | str]]:
    return [(record.line, record.problem.code if record.problem else record.cells) for record in found]


async def test_a_record_has_the_line_it_begins_on() -> None:
    data = b'a,b\r\n"one\nand\nthree",2\n\nx,y'
    assert told(await records(data)) == [(1, ["a", "b"]), (2, ["one\nand\nthree", "2"]), (5, []), (6, ["x", "y"])]


async def test_reading_can_continue_at_any_record() -> None:
    data = 'a,b\n"ein\nzwei",ü\nc,d\n"""",e'.encode()
    whole = await records(data)
    assert whole[-1].next_offset == len(data)
    for before, after in pairwise(whole):
        rest = await records(data, offset=before.next_offset, line=before.next_line)
        assert rest[0] == after


async def test_a_byte_order_mark_is_not_part_of_the_first_cell() -> None:
    (first,) = await records(b"\xef\xbb\xbfslug,name\n")
    assert first.cells == ["slug", "name"]


async def test_an_open_quote_costs_one_row() -> None:
    rows = b"".join(b"row-%d,x\n" % number for number in range(3))
    assert told(await records(b'one,"open\n' + rows)) == [
        (1, "malformed_csv"),
        (2, ["row-0", "x"]),
        (3, ["row-1", "x"]),
        (4, ["row-2", "x"]),
    ]


async def test_an_open_quote_before_a_long_file_costs_one_row() -> None:
    rows = b"row,x\n" * (ROW_MAX_BYTES // 3)
    found = await records(b'one,"open\n' + rows, size=65_536)
    assert found[0].problem is not None
    assert len(found) == 1 + ROW_MAX_BYTES // 3
    assert all(record.problem is None for record in found[1:])


async def test_text_after_a_closing_quote_is_malformed() -> None:
    assert told(await records(b'"a"b,c\nd,e')) == [(1, "malformed_csv"), (2, ["d", "e"])]


@pytest.mark.parametrize("form", [CSV, JSON_LINES])
@pytest.mark.parametrize("length", [ROW_MAX_BYTES + 3, 5 * ROW_MAX_BYTES])
async def test_a_line_that_is_too_long_is_skipped(form: str, length: int) -> None:
    found = await records(b"x" * length + b"\nb\n" + b"y" * length, form, size=100_000)
    assert [(record.line, record.problem and record.problem.code) for record in found] == [
        (1, "row_too_long"),
        (2, None),
        (3, "row_too_long"),
    ]
    assert found[0].data == b""
    assert found[-1].next_offset == 2 * length + 3


async def test_the_longest_line_is_allowed() -> None:
    (record,) = await records(b"x" * ROW_MAX_BYTES + b"\r\n", JSON_LINES, size=100_000)
    assert record.problem is None


async def test_invalid_utf8_costs_its_row() -> None:
    found = await records(b'a,b\n\xff,c\n"d\n\xfe",e\nf,g')
    assert told(found) == [(1, ["a", "b"]), (2, "invalid_utf8"), (3, "invalid_utf8"), (5, ["f", "g"])]


async def test_a_quote_left_open_on_every_line_costs_each_its_row() -> None:
    found = await records(b'a","b\n' * 50 + b'c"x\nd,e')
    assert [(record.line, record.problem and record.problem.code) for record in found] == [
        *((line, "malformed_csv") for line in range(1, 51)),
        *((line, None) for line in (51, 52)),
    ]


async def test_an_open_quote_that_is_closed_far_below_is_one_row() -> None:
    lines = b'x,"\n' + b'a","b\n' * 10
    found = await records(lines + b'c"z\n' + b'k,"l\n' + b'm","n\n' * 5 + b'o"\np')
    closed = [record for record in found if record.problem is None]
    assert [(record.line, record.next_line) for record in closed[-2:]] == [(13, 20), (20, 21)]


async def test_lines_may_end_as_on_old_macs() -> None:
    async def old(data: bytes) -> list[Record]:
        return [record async for record in Records(pieces(data, 5), CSV, line_end=b"\r")]

    assert told(await old(b'a,b\r"c\rd",e\r\rf,g')) == [(1, ["a", "b"]), (2, ["c\nd", "e"]), (4, []), (5, ["f", "g"])]


async def test_any_separator() -> None:
    found = [record async for record in Records(pieces(b'a;"b;c"\nd,e;f', 5), CSV, separator=";")]
    assert told(found) == [(1, ["a", "b;c"]), (2, ["d,e", "f"])]


@pytest.mark.parametrize("data", [b"", b"   ", b",,,", b"\t", b'"","  "', "\u00a0,".encode()])
async def test_rows_without_anything_are_blank(data: bytes) -> None:
    assert all(record.blank for record in await records(data + b"\n"))


async def test_lines_of_json_end_where_lines_end() -> None:
    found = await records(b'{"slug": "\\"a"}\r\n\n{"slug": "b"}', JSON_LINES)
    assert [(record.line, record.data) for record in found] == [
        (1, b'{"slug": "\\"a"}'),
        (2, b""),
        (3, b'{"slug": "b"}'),
    ]


@given(st.binary(max_size=400).map(lambda data: data.replace(b"z", b'"').replace(b"y", b"\n")), st.integers(1, 50))
async def test_every_byte_belongs_to_one_record(data: bytes, size: int) -> None:
    for form in (CSV, JSON_LINES):
        found = await records(data, form, size=size)
        offsets = [record.next_offset for record in found]
        assert offsets == sorted(set(offsets))
        assert (offsets or [0])[-1] == len(data) or data == b"\xef\xbb\xbf"
        assert [record.next_line for record in found[:-1]] == [record.line for record in found[1:]]
