"""Whatever a client sends is parsed in time linear in its length.

Each parser is fed what would hurt it, in sizes that double until it takes a few milliseconds of processor time, and
then eight times as much. Linear work takes eight times as long and quadratic work 64 times; the bound lies between.
What is refused for its length never takes long enough to be compared, and that is as good.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple
from urllib.parse import quote_plus
from uuid import UUID

import pytest
from fastapi import Request

from domain.fields.catalogue import SLUG, canonical_sku
from domain.fields.characters import lines, one_line
from domain.fields.core import BadValue
from domain.fields.people import canonical_email
from domain.limits import is_text
from domain.slugs import slug_from
from domain.urls import host_of
from gateway.catalogue.product_query import ProductsQuery
from gateway.routes.reports import ReportBody
from gateway.server.middleware.compression import accepts_gzip
from gateway.web.etags import expected_version, is_known
from gateway.web.pages import decode_cursor
from gateway.web.problems import Problem
from gateway.web.queries import parse_query
from gateway.web.requests import idempotency_key, parse, preferred_wait, read_body
from runtime.csvcells import escape_cell, unescape_cell
from runtime.listings.columns import COLUMNS, CSV, JSON_LINES
from runtime.listings.encodings import detected
from runtime.listings.headers import BadHeader, find_header
from runtime.listings.layout import Layout
from runtime.listings.presets.base import Aside, TooMuchToRemember
from runtime.listings.records import Records
from runtime.listings.rows import BadRow, read_cells, read_json
from runtime.listings.sheets import Sheet, knows

_LEAST_SECONDS: Final = 0.003
_LARGEST: Final = 2**19
_TIMES: Final = 8
_RATIO_MAX: Final = 24
_MEASURED: Final = 3


class Fed(NamedTuple):
    """A parser, and what it is fed in a size: `make(size)` is about so many bytes long. What is cheap for each byte
    shows its growth only from some size on."""

    parse: Callable[[str], object]
    make: Callable[[int], str]
    from_size: int = 1_024


def _request(**headers: str) -> Request:
    named = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": named})


def _run(awaitable: object) -> object:
    """The result of a coroutine that waits for nothing."""
    try:
        awaitable.send(None)  # type: ignore[attr-defined]
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


async def _count(data: bytes, form: str) -> int:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 65_536):
            yield data[start : start + 65_536]

    count = 0
    async for record in Records(pieces(), form):
        count += 1
        record.blank  # noqa: B018 - it looks at the cells
    return count


def _records(text: str) -> object:
    return _run(_count(text.encode(), CSV))


def _lines_of_json(text: str) -> object:
    return _run(_count(text.encode(), JSON_LINES))


def _header(text: str) -> object:
    return Sheet(find_header(text.encode(), knows(Layout())).names, Layout(), 0)


def _sheet(header: str, **layout: Any) -> Callable[[str], object]:
    """Reads a text as every cell of a row below this header."""
    sheet = Sheet(header.split(","), Layout(**layout), 10)

    def read(text: str) -> object:
        cells = [text] * len(header.split(","))
        sheet.survey(2, cells)
        return sheet.read(2, cells)

    return read


def _body_in_crumbs(text: str) -> object:
    """A body that comes a few bytes at a time."""
    data = text.encode()
    messages = iter(range(0, len(data), 4))

    async def receive() -> dict[str, object]:
        start = next(messages)
        return {"type": "http.request", "body": data[start : start + 4], "more_body": start + 4 < len(data)}

    request = _request(content_type="application/json")
    return _run(read_body(Request(request.scope, receive), 10 * _TIMES * _LARGEST))


def repeated(*parts: str, before: str = "", after: str = "") -> Callable[[int], str]:
    """`before`, one part after the other as often as they fit, and `after`."""
    whole = "".join(parts)
    return lambda size: before + whole * (size // len(whole)) + after


FED: Final = {
    "header: one column again and again": Fed(_header, repeated("slug,")),
    "header: unknown columns": Fed(_header, lambda size: ",".join(f"c{number}" for number in range(size // 6))),
    "header: blank lines": Fed(_header, repeated("\r\n", " , ;\n")),
    "header: marks": Fed(_header, repeated("\ufeff")),
    "header: an open quote": Fed(_header, repeated('a","b\n', before='"')),
    "header: old line ends": Fed(_header, repeated("\r")),
    "records: a quote left open on every line": Fed(_records, repeated('a","b\n')),
    "records: the same, and at last malformed": Fed(_records, repeated('a","b\n', after='c"d\n')),
    "records: quotes that open and never close": Fed(_records, repeated('x,"y\n', "z\n")),
    "records: an open quote before empty lines": Fed(_records, repeated("\n", before='"')),
    "records: every other line opens and is closed wrongly": Fed(_records, repeated('a,"b\n', 'c"d\n')),
    "records: long lines, each left open": Fed(_records, repeated('a","' + "b" * 2_000 + "\n")),
    "records: one endless line": Fed(_records, repeated('a,"')),
    "records: lines of JSON": Fed(_lines_of_json, repeated("{\n")),
    "row: endless cells": Fed(lambda text: read_cells(COLUMNS, [text] * len(COLUMNS)), repeated("9")),
    "row: apostrophes": Fed(lambda text: unescape_cell(text), repeated("'")),
    "cell: apostrophes": Fed(lambda text: escape_cell(text), repeated("'")),
    "row: a cell that is kept as text": Fed(
        lambda text: read_cells(("slug", "barcode"), ["a", text]), repeated("1", before='="')
    ),
    "row: a barcode of digits": Fed(
        lambda text: read_cells(("sku", "barcode"), ["a", text]), repeated("1", after=".0e")
    ),
    "row: attributes": Fed(lambda text: read_cells(("sku", "attributes"), ["a", text]), repeated('{"a":')),
    "JSON row: nested": Fed(lambda text: read_json(text.encode()), repeated("[")),
    "JSON row: a member again and again": Fed(
        lambda text: read_json(text.encode()), repeated('"sku":"a",', before="{")
    ),
    "JSON row: an unknown member": Fed(lambda text: read_json(text.encode()), repeated("k", before='{"', after='":1}')),
    "amount: groups": Fed(_sheet("sku,price", decimal="comma", currency="EUR"), repeated("1.")),
    "amount: spaces": Fed(_sheet("sku,price", decimal="comma", currency="EUR"), repeated(" ", before="1")),
    "weight: unit": Fed(_sheet("sku,weight", decimal="point"), repeated("k", before="1")),
    "path of categories": Fed(_sheet("slug,name,category_path"), repeated("a>")),
    "options": Fed(_sheet("slug,option:a,option:b", derive_skus=True), repeated("\u00e9 ")),
    "paths and attributes of WooCommerce": Fed(
        _sheet("type,name,regular price,categories,attribute 1 value(s)", preset="woocommerce"),
        repeated("a\\,b > c, ", before="simple, "),
    ),
    "pairs of Magento": Fed(
        _sheet("sku,product_type,name,additional_attributes,configurable_variations", preset="magento"),
        repeated("a=b,c|sku=d,"),
    ),
    "encoding: bytes beyond ASCII": Fed(lambda text: detected(text.encode("latin-1")), repeated("\xe9")),
    "encoding: lines": Fed(lambda text: detected(text.encode("latin-1")), repeated("\xe9\n")),
    "cursor": Fed(lambda text: decode_cursor(text, UUID), repeated("AAAA")),
    "query: parts": Fed(lambda text: parse_query(ProductsQuery, text.encode()), repeated("q=1&")),
    "query: escapes": Fed(lambda text: parse_query(ProductsQuery, b"q=" + text.encode()), repeated("%C3%A9%")),
    "query: a search": Fed(
        lambda text: parse_query(ProductsQuery, b"q=" + quote_plus(text).encode()), repeated("' OR ")
    ),
    "body: nested": Fed(lambda text: parse(ReportBody, text.encode()), repeated("[")),
    "body: unknown members": Fed(
        lambda text: parse(ReportBody, text.encode()),
        lambda size: "{" + ",".join(f'"k{number}":1' for number in range(size // 10)) + "}",
    ),
    "body: bad items": Fed(
        lambda text: parse(ReportBody, text.encode()), repeated("1,", before='{"statuses":[', after="1]}")
    ),
    "body: in crumbs": Fed(_body_in_crumbs, repeated("x"), from_size=2**18),
    "Prefer: commas": Fed(lambda text: preferred_wait(_request(prefer=text)), repeated(", ")),
    "Prefer: spaces": Fed(lambda text: preferred_wait(_request(prefer=text)), repeated(" ", before="wait")),
    "Prefer: almost": Fed(lambda text: preferred_wait(_request(prefer=text)), repeated(",wait=1 ")),
    "Idempotency-Key": Fed(lambda text: idempotency_key(_request(idempotency_key=text)), repeated('"')),
    "If-Match: open quotes": Fed(lambda text: expected_version(_request(if_match=text)), repeated('W/"')),
    "If-Match: tags": Fed(lambda text: expected_version(_request(if_match=text)), repeated('"1", ')),
    "If-None-Match: no end": Fed(lambda text: is_known(text, 'W/"a"'), repeated("a", before='"')),
    "Accept-Encoding: almost": Fed(lambda text: accepts_gzip(text.encode()), repeated("gzip;q=0,")),
    "Accept-Encoding: spaces": Fed(
        lambda text: accepts_gzip(text.encode()), repeated(" ", before="gzip;q=", after="0")
    ),
    "Accept-Encoding: commas": Fed(lambda text: accepts_gzip(text.encode()), repeated(", \t")),
    "email: labels": Fed(canonical_email, repeated("a.", before="a@")),
    "email: dots": Fed(canonical_email, repeated("a.")),
    "link": Fed(host_of, repeated("a.", before="https://")),
    "link: path": Fed(host_of, repeated("/%", before="https://a.b")),
    "SKU": Fed(canonical_sku, repeated("\u0131")),
    "slug": Fed(SLUG.keeps, repeated("a-")),
    "text: marks in order": Fed(lines, repeated("\u0301", before="e")),
    "text: marks out of order": Fed(one_line, repeated("\u0301\u0323", before="e")),
    "text: letters with marks": Fed(lines, repeated("e\u0323\u0301")),
    "slug of a name": Fed(slug_from, repeated("'\u00e9 ")),
    "text": Fed(is_text, repeated("\t\n")),
}


def _seconds(fed: Fed, text: str, attempts: int = _MEASURED) -> float:
    """Of processor time, the least of some attempts."""
    taken = []
    for _ in range(attempts):
        began = time.thread_time()
        with suppress(Problem, BadRow, BadHeader, BadValue, Aside, TooMuchToRemember):
            fed.parse(text)
        taken.append(time.thread_time() - began)
    return min(taken)


@pytest.mark.parametrize("name", FED)
def test_it_is_linear(name: str) -> None:
    fed = FED[name]
    size = fed.from_size
    while (least := _seconds(fed, fed.make(size))) < _LEAST_SECONDS and size < _LARGEST:
        size *= 2
    if least < _LEAST_SECONDS:
        return  # the largest costs next to nothing
    larger = fed.make(_TIMES * size)
    if _seconds(fed, larger, attempts=1) / least < _RATIO_MAX:
        return  # it can only have been slower than it is
    ratio = _seconds(fed, larger) / least
    assert ratio < _RATIO_MAX, f"{_TIMES} times {size:,} bytes take {ratio:.0f} times as long"


def test_the_measurement_detects_quadratic_time() -> None:
    def quadratic(text: str) -> int:
        return sum(text.count("a", start) for start in range(0, len(text), 64))

    fed = Fed(quadratic, repeated("a"))
    size = 1_024
    while (least := _seconds(fed, fed.make(size))) < _LEAST_SECONDS:
        size *= 2
    assert _seconds(fed, fed.make(_TIMES * size), attempts=1) / least > _RATIO_MAX
