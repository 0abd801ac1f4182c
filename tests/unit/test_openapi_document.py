"""What must hold of every operation and schema of the OpenAPI document, whoever adds one. What lacks is named by its
place, as in `get /api/v1/orders` or `OrderBody.email`."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from starlette.types import ASGIApp, Message

from gateway.app import api, create_app
from gateway.openapi import VALUES
from gateway.surface import Surface, surface_of
from runtime.settings import Settings

GATEWAY: Final = Path(__file__).parents[2] / "gateway"

# Read from requests, but no part of what an operation means: HTTP's own, and what browsers send by themselves.
OF_HTTP: Final = frozenset(
    {"accept", "accept-encoding", "content-encoding", "content-length", "expect", "host", "origin", "transfer-encoding"}
)


@pytest.fixture(scope="module")
def document() -> Any:
    return api(Settings()).openapi()


@pytest.fixture(scope="module")
def surface() -> Surface:
    return surface_of(api(Settings()))


def parts(part: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, object) of every object in the document that is no value, as examples are."""
    if isinstance(part, dict):
        yield place, part
        for name, inner in part.items():
            if name not in VALUES:
                yield from parts(inner, f"{place}/{name}")
    elif isinstance(part, list):
        for index, inner in enumerate(part):
            yield from parts(inner, f"{place}/{index}")


def test_nothing_that_may_be_left_out_is_null_by_default(document: Any) -> None:
    """Generated clients would send the null: a PATCH of one member then takes the others away."""
    assert [place for place, part in parts(document) if part.get("default", ...) is None] == []


def test_the_document_says_where_the_api_is(document: Any) -> None:
    assert [server["url"] for server in document["servers"]] == ["/"]


async def test_scripts_of_other_origins_may_send_every_header_that_an_operation_takes(document: Any) -> None:
    """Each operation's own headers, with a token, are allowed by the answer to the preflight."""
    app = create_app(Settings(cors_origins=("https://shop.example",)))
    asked = set()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            headers = [one["name"].lower() for one in operation.get("parameters", ()) if one["in"] == "header"]
            assert await _preflight(app, path, method.upper(), ["authorization", *headers]) == 200, f"{method} {path}"
            asked.update(headers)
    assert {"last-event-id", "if-match", "if-none-match", "idempotency-key", "prefer"} <= asked
    assert await _preflight(app, "/health/live", "HEAD", ["x-request-id"]) == 200
    assert await _preflight(app, "/health/live", "GET", ["x-unheard-of"]) == 400


async def _preflight(app: ASGIApp, path: str, method: str, headers: list[str]) -> int:
    """The status of the answer to what a browser asks first."""
    asked = {
        b"origin": b"https://shop.example",
        b"access-control-request-method": method.encode(),
        b"access-control-request-headers": ",".join(headers).encode(),
    }
    scope = {"type": "http", "method": "OPTIONS", "path": path, "scheme": "http", "headers": list(asked.items())}
    told: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        told.append(message)

    await app(scope, receive, send)
    status: int = told[0]["status"]
    return status


def test_every_header_that_is_read_is_named_by_an_operation(surface: Surface) -> None:
    known = {name.lower() for name in surface.request_headers} | OF_HTTP
    read = {(name, file) for file in GATEWAY.rglob("*.py") for name in _headers_read(ast.parse(file.read_text()))}
    assert {"last-event-id", "prefer", "if-none-match", "authorization"} <= {name for name, _ in read}
    assert {(name, file.name) for name, file in read if name not in known} == set()


def _headers_read(module: ast.AST) -> Iterator[str]:
    """Names of headers in `headers.get("...")`, `headers.getlist("...")`, `headers["..."]`, `"..." in headers`, and
    where raw ones are compared, as in `name == b"..."`."""
    for node in ast.walk(module):
        match node:
            case ast.Call(func=ast.Attribute(value=of, attr="get" | "getlist"), args=[ast.Constant(value=name), *_]):
                found = name if _are_headers(of) else None
            case ast.Subscript(value=of, slice=ast.Constant(value=name), ctx=ast.Load()):
                found = name if _are_headers(of) else None
            case ast.Compare(left=ast.Constant(value=name), ops=[ast.In() | ast.NotIn()], comparators=[of]):
                found = name if _are_headers(of) else None
            case ast.Compare(left=ast.Name(id="name"), ops=[ast.Eq()], comparators=[ast.Constant(value=bytes(name))]):
                found = name
            case _:
                found = None
        if found is not None:
            yield (found.decode() if isinstance(found, bytes) else str(found)).lower()


def _are_headers(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id == "headers") or (
        isinstance(node, ast.Attribute) and node.attr == "headers"
    )
