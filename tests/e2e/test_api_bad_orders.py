"""Invalid orders: whatever is sent to POST /orders, the client is told what is wrong with it, and nothing changes."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from domain.limits import LINE_MAX_QUANTITY, ORDER_MAX_LINES
from tests import pace
from tests.e2e.api import API, order_body
from tests.e2e.shop import Shop

ORDERS = f"{API}/orders"
JSON_TYPE = {"Content-Type": "application/json"}
BODY_MAX_BYTES = 262_144


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"   ", id="blank"),
        pytest.param(b"{", id="cut_short"),
        pytest.param(b'{"lines":[{"sku":"A","quantity":1}]', id="not_closed"),
        pytest.param(b'{"lines":[{"sku":"A","quantity":1}]}}', id="closed_twice"),
        pytest.param(b'{"lines":[{"sku":"A","quantity":1},]}', id="trailing_comma"),
        pytest.param(b"{'lines':[]}", id="single_quotes"),
        pytest.param(b'{"lines":[{"sku":"A","quantity":01}]}', id="leading_zero"),
        pytest.param(b'{"lines":[{"sku":"A","quantity":1}]} // please', id="comment"),
        pytest.param(b"lines=A&quantity=1", id="a_form"),
        pytest.param(b"\x00\x01\x02", id="binary"),
        pytest.param(b'\xef\xbb\xbf{"lines":[]}', id="byte_order_mark"),
        pytest.param('{"lines":[]}'.encode("utf-16"), id="utf_16"),
        pytest.param(b'{"lines":[{"sku":"\xff\xfe","quantity":1}]}', id="invalid_utf_8"),
        pytest.param(b'{"lines":[{"sku":"\xc0\xaf","quantity":1}]}', id="overlong_utf_8"),
        pytest.param(rb'{"lines":[{"sku":"\ud800","quantity":1}]}', id="lone_surrogate"),
        pytest.param(b'{"lines":[{"sku":"A\nB","quantity":1}]}', id="bare_control_character"),
        pytest.param(b'{"lines":' + b"[" * 60_000 + b"]" * 60_000 + b"}", id="deeply_nested_arrays"),
        pytest.param(b'{"lines":' * 10_000 + b"1" + b"}" * 10_000, id="deeply_nested_objects"),
    ],
)
async def test_invalid_json_is_malformed(shop: Shop, body: bytes) -> None:
    answer = await shop.customer().post("/orders", body)
    answer.problem(400, "malformed_json")


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        pytest.param(None, {"/"}, id="null"),
        pytest.param([], {"/"}, id="array"),
        pytest.param("lines", {"/"}, id="string"),
        pytest.param(7, {"/"}, id="number"),
        pytest.param({}, {"/lines"}, id="no_member_lines"),
        pytest.param({"lines": None}, {"/lines"}, id="lines_null"),
        pytest.param({"lines": {}}, {"/lines"}, id="lines_object"),
        pytest.param({"lines": "A"}, {"/lines"}, id="lines_string"),
        pytest.param({"lines": []}, {"/lines"}, id="no_lines"),
        pytest.param(order_body({f"A{n}": 1 for n in range(ORDER_MAX_LINES + 1)}), {"/lines"}, id="too_many_lines"),
        pytest.param({"lines": [1]}, {"/lines/0"}, id="line_number"),
        pytest.param({"lines": [["A", 1]]}, {"/lines/0"}, id="line_array"),
        pytest.param({"lines": [{}]}, {"/lines/0/sku", "/lines/0/quantity"}, id="line_empty"),
        pytest.param({"lines": [{"quantity": 1}]}, {"/lines/0/sku"}, id="no_sku"),
        pytest.param({"lines": [{"sku": "A"}]}, {"/lines/0/quantity"}, id="no_quantity"),
        pytest.param({**order_body({"A": 1}), "note": "hi"}, {"/note"}, id="unknown_field"),
        pytest.param({**order_body({"A": 1}), "customer_id": "you"}, {"/customer_id"}, id="somebody_else_s_name"),
        pytest.param(
            {"lines": [{"sku": "A", "quantity": 1, "unit_price_minor": 1}]},
            {"/lines/0/unit_price_minor"},
            id="price_of_one_s_own",
        ),
        pytest.param(
            {"lines": [{"sku": "A", "quantity": 1}, {"sku": "B", "quantity": 0}]},
            {"/lines/1/quantity"},
            id="one_bad_line_among_good_ones",
        ),
        pytest.param({**order_body({"A": 1}), "a/b~c": 1}, {"/a~1b~0c"}, id="pointer_escaped"),
    ],
)
async def test_a_body_that_does_not_fit_is_refused_with_a_pointer(shop: Shop, body: Any, pointers: set[str]) -> None:
    answer = await shop.customer().post("/orders", json.dumps(body).encode())
    assert answer.pointers() == pointers


@pytest.mark.parametrize(
    "quantity",
    [
        pytest.param("0", id="zero"),
        pytest.param("-1", id="negative"),
        pytest.param(str(LINE_MAX_QUANTITY + 1), id="above_the_limit"),
        pytest.param(str(2**31), id="beyond_32_bits"),
        pytest.param(str(2**64), id="beyond_64_bits"),
        pytest.param("9" * 400, id="of_400_digits"),
        pytest.param("1e400", id="beyond_a_double"),
        pytest.param("1.5", id="fractional"),
        pytest.param("1.0", id="a_float_of_a_whole"),
        pytest.param("1e2", id="an_exponent"),
        pytest.param("NaN", id="not_a_number"),
        pytest.param("Infinity", id="infinity"),
        pytest.param("true", id="bool"),
        pytest.param('"2"', id="string"),
        pytest.param("null", id="null"),
        pytest.param("[2]", id="array"),
    ],
)
async def test_a_quantity_is_a_whole_number_within_its_limits(shop: Shop, quantity: str) -> None:
    body = b'{"lines":[{"sku":"A","quantity":%s}]}' % quantity.encode()
    assert (await shop.customer().post("/orders", body)).pointers() == {"/lines/0/quantity"}


async def test_a_quantity_with_too_many_digits_to_parse_is_malformed(shop: Shop) -> None:
    body = b'{"lines":[{"sku":"A","quantity":%s}]}' % (b"9" * 5_000)
    (await shop.customer().post("/orders", body)).problem(400, "malformed_json")


@pytest.mark.parametrize(
    "sku",
    [
        "",
        " ",
        "A B",
        "A\u200bB",
        "-A",
        ".",
        "A/B",
        "A\nB",
        "A\x00",
        "A" * 41,
        "Ä",
        "ß",
        "\u017f",
        "\uff11",
        "A;DROP",
        "{A}",
        "A'",
    ],
)
async def test_a_sku_has_one_spelling(shop: Shop, sku: str) -> None:
    assert (await shop.customer().place({sku: 1})).pointers() == {"/lines/0/sku"}


@pytest.mark.parametrize("sku", [1, None, True, ["A"], {"sku": "A"}])
async def test_a_sku_is_a_string(shop: Shop, sku: Any) -> None:
    answer = await shop.customer().post("/orders", {"lines": [{"sku": sku, "quantity": 1}]})
    assert answer.pointers() == {"/lines/0/sku"}


async def test_an_order_at_every_limit_is_valid(shop: Shop) -> None:
    """The most lines allowed, of the longest SKUs and the largest quantities: only the catalogue objects."""
    lines = {f"{n:0>40}": LINE_MAX_QUANTITY for n in range(ORDER_MAX_LINES)}
    problem = (await shop.customer().place(lines)).problem(422, "unknown_sku")
    assert set(problem["skus"]) == set(lines)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/xml",
    ],
)
async def test_a_body_must_be_declared_as_json(shop: Shop, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = await shop.customer().request("POST", ORDERS, data=b'{"lines":[]}', headers=headers)
    answer.problem(415, "unsupported_media_type")
    assert answer.headers["Accept"] == "application/json"


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "Application/JSON", "application/json ;charset=UTF-8", "application/json;"],
)
async def test_json_may_be_declared_in_other_ways(shop: Shop, content_type: str) -> None:
    sku = await shop.product(on_hand=1)
    body = json.dumps(order_body({sku: 1})).encode()
    headers = {"Content-Type": content_type, "Prefer": "wait=15"}
    (await shop.customer().request("POST", ORDERS, data=body, headers=headers)).ok(201)


async def test_a_body_at_the_limit_is_read(shop: Shop) -> None:
    sku = await shop.product(on_hand=1)
    body = json.dumps(order_body({sku: 1})).encode().ljust(BODY_MAX_BYTES)
    (await shop.customer().post("/orders", body)).ok(201)


async def test_a_body_over_the_limit_is_refused(shop: Shop) -> None:
    body = json.dumps(order_body({"A": 1})).encode().ljust(BODY_MAX_BYTES + 1)
    answer = await shop.customer().post("/orders", body)
    answer.problem(413, "body_too_large")
    assert answer.headers["Connection"] == "close"


async def test_a_chunked_body_over_the_limit_is_refused(shop: Shop) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(BODY_MAX_BYTES // 1024 + 1):
            yield b" " * 1024

    answer = await shop.customer().request("POST", ORDERS, data=chunks(), headers=JSON_TYPE)
    answer.problem(413, "body_too_large")


async def test_a_chunked_body_within_the_limit_is_read(shop: Shop) -> None:
    sku = await shop.product(on_hand=1)

    async def chunks() -> AsyncIterator[bytes]:
        for byte in json.dumps(order_body({sku: 1})).encode():
            yield bytes([byte])

    headers = {**JSON_TYPE, "Prefer": "wait=15"}
    (await shop.customer().request("POST", ORDERS, data=chunks(), headers=headers)).ok(201)


async def _raw(shop: Shop, *lines: str) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    """The head of the answer to a handwritten request, and its connection."""
    host, port = shop.system.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = [f"Host: {host}", f"Authorization: Bearer {shop.system.token()}", "Content-Type: application/json"]
    writer.write("\r\n".join([lines[0], *head, *lines[1:], "", ""]).encode())
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), pace.seconds(10)), reader, writer


async def test_a_body_that_is_declared_too_large_is_refused_before_it_is_sent(shop: Shop) -> None:
    head, reader, writer = await _raw(shop, f"POST {ORDERS} HTTP/1.1", "Content-Length: 1000000000000")
    assert head.startswith(b"HTTP/1.1 413 ")
    await asyncio.wait_for(reader.read(), pace.seconds(10))  # to EOF: the gateway closes the connection
    writer.close()


async def test_an_unread_body_does_not_spoil_the_connection(shop: Shop) -> None:
    """A client that was refused on its request's head may still send the body, and then the next request."""
    host, port = shop.system.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = b"x" * 1_000_000
    request = f"POST {ORDERS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer no\r\nContent-Length: {len(body)}\r\n\r\n"
    for _ in range(3):
        writer.write(request.encode() + body)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), pace.seconds(10))
        assert head.startswith(b"HTTP/1.1 401 ")
        await reader.readuntil(b"}")
    writer.close()


async def test_a_client_that_disconnects_in_the_middle_of_its_body_does_no_harm(shop: Shop) -> None:
    host, port = shop.system.url.removeprefix("http://").split(":")
    sent = f"POST {ORDERS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {shop.system.token()}\r\n"
    for _ in range(4):  # both gateways
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f'{sent}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"lines":'.encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    sku = await shop.product(on_hand=1)
    await shop.customer().placed({sku: 1})


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_not_allowed(shop: Shop, method: str) -> None:
    answer = await shop.customer().request(method, ORDERS, data=b"{}", headers=JSON_TYPE)
    answer.problem(405, "method_not_allowed")
    assert answer.headers["Allow"]
