"""The header line: found after what some programs write before it, and read as people write it."""

import pytest

from runtime.listings.columns import HEADER_MAX_BYTES, HEADER_MAX_COLUMNS
from runtime.listings.headers import BadHeader, find_header
from runtime.listings.layout import Layout
from runtime.listings.sheets import Sheet, knows
from tests.cases import case

MARK = b"\xef\xbb\xbf"


is_column = knows(Layout())


def columns(data: bytes, separator: str | None = None) -> tuple[str, ...]:
    """The names in a header that we know, in lower case."""
    names = find_header(data, is_column, separator).names
    Sheet(names, Layout(), max_remembered=0)
    return tuple(map(str.lower, names))


@pytest.mark.parametrize("name", ["01-blank-line-then-mark.csv", "01-mark-twice.csv"])
def test_what_comes_before_the_header_is_skipped(name: str) -> None:
    data = case(name)
    header = find_header(data, is_column)
    assert header.names == ("slug", "name", "sku", "price_minor", "currency", "on_hand")
    assert data[header.next_offset :].startswith(b"case-copper-")
    assert header.next_line == 1 + data[: header.next_offset].count(b"\n")


@pytest.mark.parametrize(
    "before", [b"", b"\r\n", b",,,\r\n\r\n", b";;\n", MARK * 3, MARK + b"\n" + MARK, b'"",""\n', "\u00a0\n".encode()]
)
def test_marks_and_blank_lines_in_any_order(before: bytes) -> None:
    assert columns(before + b"sku,on_hand\n") == ("sku", "on_hand")


def test_a_mark_before_a_quoted_name() -> None:
    assert columns(b"\n" + MARK * 2 + b'"sku","on_hand"\n') == ("sku", "on_hand")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_the_one_that_finds_our_columns(separator: str) -> None:
    header = find_header(separator.join(("slug", "name", "sku")).encode() + b"\r\n", is_column)
    assert (header.separator, len(header.names)) == (separator, 3)


def test_excels_own_line_names_the_separator() -> None:
    header = find_header(MARK + b"sep=;\r\nsku;on_hand\r\nA;1\r\n", is_column)
    assert (header.names, header.separator, header.next_line) == (("sku", "on_hand"), ";", 3)


def test_a_separator_may_be_named() -> None:
    assert columns(b"sku^on_hand\n", "^") == ("sku", "on_hand")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_any_line_end_is_recognised(end: bytes) -> None:
    data = end + b'sku,"on_hand"' + end + b"A,1" + end
    header = find_header(data, is_column)
    assert (header.names, header.next_line) == (("sku", "on_hand"), 3)
    assert data[header.next_offset :].lstrip(b"\n") == b"A,1" + end


def test_a_header_may_be_written_as_people_write_it() -> None:
    assert columns(b' SKU ,On_Hand,"name"') == ("sku", "on_hand", "name")


def test_columns_without_a_name_are_ignored() -> None:
    assert columns(b"sku,on_hand,,\n") == ("sku", "on_hand", "", "")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"slug,colour", "`colour`. The known columns are `slug`, `name`, .*`on_hand`"),
        (b"slug,slug", "Duplicate columns: `slug`"),
        (b"name,status", "neither"),
        (b"slug^name", r"`slug\^name`"),
        (b"", "empty"),
        (b"\r\n,,\n", "no header line"),
        (b"slug,\xff", "not valid text"),
        (b'"slug', "cannot be read"),
        (b"slug," + b"x" * HEADER_MAX_BYTES, "at most 65,536 bytes"),
        (b'slug,"' + b"x\n" * HEADER_MAX_BYTES, "at most 65,536 bytes"),
        (b"sku" + b",a" * HEADER_MAX_COLUMNS, "at most 1,000 columns"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_invalid_headers_are_refused(data: bytes, said: str) -> None:
    with pytest.raises(BadHeader, match=said):
        columns(data)
