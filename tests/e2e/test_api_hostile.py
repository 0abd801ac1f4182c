"""Bad bodies, headers and paths sent to every operation of the OpenAPI document: each is told what is wrong with it.

What is sent comes from the document, so new routes are covered too. The shop's fixture then makes sure that no gateway
logged a traceback and that every table agrees with the log.
"""

import json
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, NamedTuple

import pytest

from tests.e2e.api import Answer, Client
from tests.e2e.people import newcomer
from tests.e2e.shop import Shop

_JSON: Final = "application/json"
_DEPTH: Final = 20_000
_REFUSED: Final = {400, 401, 403, 404, 408, 412, 413, 415, 422, 429}


class Operation(NamedTuple):
    """A documented operation that takes JSON: an example body, its fields, and those of them that are text."""

    method: str
    path: str
    body: dict[str, Any]
    fields: frozenset[str]
    texts: list[str]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@pytest.fixture(scope="module")
async def shop(shop: Shop) -> AsyncIterator[Shop]:
    async with shop.with_lasting_connections() as lasting:
        yield lasting


@pytest.fixture(scope="module")
async def document(shop: Shop) -> Any:
    return (await shop.anybody.request("GET", "/api/openapi.json")).ok()


@pytest.fixture(scope="module")
def operations(document: Any) -> list[Operation]:
    """Every operation that needs a JSON body."""
    found = list(_operations(document))
    assert len(found) >= 10
    return found


@pytest.fixture(scope="module")
async def admin(shop: Shop) -> Client:
    """An admin with an account whose token belongs to no session, so nothing that is sent here signs it out."""
    return shop.client("admin", (await newcomer(shop, "admin")).account_id)


def _resolved(document: Any, schema: Any) -> Any:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def _operations(document: Any) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            body_said = operation.get("requestBody", {})
            schema = body_said.get("content", {}).get(_JSON, {}).get("schema")
            if schema is not None and body_said.get("required"):
                schema = _resolved(document, schema)
                fields = schema["properties"]
                texts = [name for name, field in fields.items() if _is_text(document, field)]
                yield Operation(method.upper(), path, _example(schema), frozenset(fields), texts)


def _example(schema: Any) -> dict[str, Any]:
    """A body made of the examples of the schema or of its fields."""
    whole: dict[str, Any] = (schema.get("examples") or [{}])[0]
    parts = {name: field["examples"][0] for name, field in schema["properties"].items() if field.get("examples")}
    return {**parts, **whole}


def _is_text(document: Any, field: Any) -> bool:
    kinds = [_resolved(document, kind) for kind in field.get("anyOf", [field])]
    return any(kind.get("type") == "string" and "enum" not in kind for kind in kinds)


def _filled(path: str) -> str:
    """The path for something that does not exist, so that the request has no effect."""
    return re.sub(r"{\w+}", lambda _: str(uuid.uuid4()), path)


async def _send(client: Client, operation: Operation, body: bytes) -> Answer:
    return await client.request(
        operation.method, _filled(operation.path), data=body, headers={"Content-Type": _JSON, "Prefer": "wait=10"}
    )


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"a":', id="cut_short"),
        pytest.param(b"[" * _DEPTH + b"]" * _DEPTH, id="deep_arrays"),
        pytest.param(b'{"a":' * _DEPTH + b"1" + b"}" * _DEPTH, id="deep_objects"),
        pytest.param(b'{"\xff\xfe":"\xc0\xaf"}', id="invalid_utf_8"),
        pytest.param(rb'{"a":"\ud800"}', id="lone_surrogate"),
        pytest.param(b'{"a":"\x00"}', id="raw_nul"),
        pytest.param('{"a":1}'.encode("utf-16"), id="utf_16"),
    ],
)
async def test_invalid_json_is_malformed(admin: Client, operations: list[Operation], body: bytes) -> None:
    for operation in operations:
        answer = await _send(admin, operation, body)
        assert answer.status == 400, (str(operation), answer)
        answer.problem(400, "malformed_json")


async def test_a_body_that_is_too_large_is_not_read(admin: Client, operations: list[Operation]) -> None:
    body = b'{"a":"' + b"x" * 1_000_000 + b'"}'
    for operation in operations:
        answer = await _send(admin, operation, body)
        assert answer.status == 413, (str(operation), answer)


async def test_an_undocumented_field_is_refused(admin: Client, operations: list[Operation]) -> None:
    """Mass assignment: whatever members an object has internally, a body sets documented ones only."""
    extra = (
        "role",
        "is_admin",
        "id",
        "account_id",
        "customer_id",
        "status",
        "epoch",
        "version",
        "password_hash",
        "total",
    )
    for operation in operations:
        for name in extra:
            if name in operation.fields:
                continue
            answer = await _send(admin, operation, json.dumps({**operation.body, name: "admin"}).encode())
            assert answer.status == 422, (str(operation), name, answer)
            assert f"/{name}" in answer.pointers(), (str(operation), name, answer)


async def test_text_may_not_contain_nul(admin: Client, operations: list[Operation]) -> None:
    """Postgres cannot store it, so it is refused at the edge and not by a command that fails."""
    for operation in operations:
        for name in operation.texts:
            answer = await _send(admin, operation, json.dumps({**operation.body, name: "a\0b"}).encode())
            assert answer.status == 422, (str(operation), name, answer)
            assert answer.json()["code"] == "invalid_request"


@pytest.mark.campaign
async def test_text_that_looks_like_code_is_only_text(shop: Shop, admin: Client, operations: list[Operation]) -> None:
    for operation in operations:
        for name in operation.texts:
            for text in (
                "'; DROP TABLE orders; --",
                "=cmd|' /C calc'!A0",
                "../../etc/passwd",
                "<script>",
                "\u202e\ufeff",
            ):
                answer = await _send(admin, operation, json.dumps({**operation.body, name: text}).encode())
                assert answer.status < 500, (str(operation), name, text, answer)
    await shop.take_terms_back()


@pytest.mark.parametrize(
    "segment",
    ["%00", "..%2f..%2fetc%2fpasswd", "%0d%0aSet-Cookie:a=b", "'%20OR%201=1--", "%ff%fe", "x" * 2_000, "%F0%9F%98%80"],
)
async def test_bad_paths(admin: Client, document: Any, segment: str) -> None:
    for path, item in document["paths"].items():
        if "{" not in path:
            continue
        for method in item:
            answer = await admin.request(
                method.upper(),
                re.sub(r"{\w+}", lambda _: segment, path),
                data=None if method == "get" else b"{}",
                headers={"Content-Type": _JSON},
            )
            known_by_no_row = method == "get" and path.endswith("/{customer_id}")  # whoever a token names is a customer
            assert answer.status in _REFUSED | {405} or known_by_no_row, (method, path, answer)
            assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("value", ["%00", "%ff", "'%20OR%201=1--", "%0d%0aX-Evil:1", "9" * 400, "\u202e"])
async def test_bad_queries(admin: Client, document: Any, value: str) -> None:
    for path, item in document["paths"].items():
        for parameter in item.get("get", {}).get("parameters", ()):
            if parameter["in"] == "query":
                answer = await admin.request("GET", f"{_filled(path)}?{parameter['name']}={value}")
                assert answer.status < 500, (path, parameter["name"], answer)
                assert "X-Evil" not in answer.headers


async def test_an_unknown_query_parameter_is_refused(admin: Client, document: Any) -> None:
    """A misspelt filter would silently filter nothing."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            known = [part["name"] for part in operation.get("parameters", ()) if part["in"] == "query"]
            for name in ("no_such_part", *(f"{name}x" for name in known), *(name.upper() for name in known)):
                answer = await admin.request(
                    method.upper(), f"{_filled(path)}?{name}=1", data=b"{}", headers={"Content-Type": _JSON}
                )
                errors = answer.problem(422, "invalid_request")["errors"]
                assert f"/query/{name}" in {error["pointer"] for error in errors}, (method, path, name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Prefer", "wait=99999999999999999999"),
        ("Prefer", ";;;,,,wait==;"),
        ("Idempotency-Key", "\u00e9"),
        ("Idempotency-Key", "x" * 10_000),
        ("If-Match", '"'),
        ("If-Match", "W/" * 1_000),
        ("If-None-Match", '"a", b, "c'),
        ("Accept-Encoding", "gzip;q=banana, *;q=-1"),
        ("Accept", "*" * 5_000),
        ("X-Request-ID", "a b<script>"),
        ("Range", "bytes=-1-,0-0,1-"),
        ("Host", "evil.example"),
        ("X-Forwarded-For", "' OR 1=1"),
        ("Authorization", "Bearer \u00e9"),
    ],
)
async def test_bad_headers(admin: Client, document: Any, name: str, value: str) -> None:
    for path, item in document["paths"].items():
        for method in item:
            answer = await admin.request(
                method.upper(),
                _filled(path),
                data=None if method == "get" else b"{}",
                headers={"Content-Type": _JSON, name: value},
            )
            assert answer.status < 500, (method, path, answer)
            assert "<script>" not in str(answer.headers)
