"""Orders that msgspec reads: exactly those that pydantic would have read the same way."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.limits import LINE_MAX_QUANTITY, ORDER_MAX_LINES, SKU_MAX_CHARS
from gateway.routes.orders import OrderBody, PlainOrder, read_order
from gateway.web.problems import Problem
from gateway.web.requests import parse

LINE: Final = {"sku": "MUG-BLUE", "quantity": 2}

SKUS: Final = [
    "MUG-BLUE",
    "85123A",
    "mug",
    " MUG",
    "MUG\n",
    "MUG\0",
    "-MUG",
    "",
    "É",
    "M" * SKU_MAX_CHARS,
    "M" * 41,
    7,
    None,
]
QUANTITIES: Final = [1, LINE_MAX_QUANTITY, LINE_MAX_QUANTITY + 1, 10**30, 0, -1, 1.0, 1.5, "1", True, None]

lines: Final = st.one_of(
    st.fixed_dictionaries(
        {"sku": st.sampled_from(SKUS) | st.text(max_size=3), "quantity": st.sampled_from(QUANTITIES)},
        optional={"price": st.just(1)},
    ),
    st.sampled_from([LINE, LINE, {}, {"sku": "MUG"}, {"quantity": 1}, ["MUG", 1], None]),
)
orders: Final[st.SearchStrategy[dict[str, Any]]] = st.fixed_dictionaries(
    {"lines": st.lists(lines, max_size=3) | st.sampled_from([None, {}, "MUG"])},
    optional={
        "email": st.sampled_from([None, "guest@example.com", "Guest@Example.com", "nobody", "", 1]),
        "note": st.just("quick, please"),
    },
)


def said_by(read: Any, body: bytes) -> Any:
    """What is read, or what is said against it."""
    try:
        order = read(body)
    except Problem as problem:
        return problem.document()
    return [(line.sku, line.quantity) for line in order.lines], order.email


def plain(order: Any) -> bytes:
    return json.dumps(order).encode()


@given(orders)
def test_an_order_is_read_as_pydantic_reads_it(order: dict[str, Any]) -> None:
    body = plain(order)
    assert said_by(read_order, body) == said_by(lambda body: parse(OrderBody, body), body)


@pytest.mark.parametrize(
    "body",
    [
        *(plain({"lines": [{**LINE, "sku": sku}]}) for sku in SKUS),
        *(plain({"lines": [{**LINE, "quantity": quantity}]}) for quantity in QUANTITIES),
        *(plain({"lines": [LINE] * count}) for count in (0, 1, ORDER_MAX_LINES, ORDER_MAX_LINES + 1)),
        plain({"lines": [LINE], "note": ""}),
        plain({"lines": [{**LINE, "price": 1}]}),
        plain({"lines": [LINE], "email": "guest@example.com"}),
        b'{"lines": [{"sku": "MUG", "sku": "CUP", "quantity": 1}]}',
        b'{"lines": [{"sku": "\\u004dUG", "quantity": -0}]}',
        b'{"lines": [{"sku": "\\ud800", "quantity": 1}]}',
        b'{"lines": [{"sku": "\xff", "quantity": 1}]}',
        b'\xef\xbb\xbf{"lines": [{"sku": "MUG", "quantity": 1}]}',
        b'{"lines": [{"sku": "MUG", "quantity": 1e0}]}',
        b'{"lines": [{"sku": "MUG", "quantity": 1}],}',
        b'{"lines": ' + b"[" * 10_000,
        b"null",
        b"",
    ],
)
def test_whatever_is_out_of_the_ordinary_is_read_as_pydantic_reads_it(body: bytes) -> None:
    assert said_by(read_order, body) == said_by(lambda body: parse(OrderBody, body), body)


def test_an_ordinary_order_is_not_left_to_pydantic() -> None:
    assert isinstance(read_order(plain({"lines": [LINE, {"sku": "85123A", "quantity": 1}]})), PlainOrder)
    assert isinstance(read_order(plain({"lines": [LINE], "email": None})), PlainOrder)
    assert isinstance(read_order(plain({"lines": [LINE], "email": "guest@example.com"})), OrderBody)
