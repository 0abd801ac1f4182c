"""What must hold of every operation and schema of the OpenAPI document. What is missing is named by its place, as in
`get /api/v1/orders` or `OrderBody.email`."""

import ast
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Final, get_args, get_origin
from uuid import UUID

import jsonschema_rs
import msgspec
import pytest
from msgspec.structs import fields
from starlette.types import ASGIApp, Message

from domain.model import EVENTS, Private, private_fields
from domain.quote.actions.amounts import Percent
from domain.quote.places import Area, PostalCodes
from domain.quote.rules.quantity import Quantity
from domain.quote.terms.deliveries import Method, Rate
from domain.quote.terms.limits import PurchaseLimit
from domain.quote.terms.prices import PriceList
from domain.quote.terms.promotions import Promotion
from domain.quote.terms.taxes import Taxes, TaxPolicy, TaxRate
from gateway.apidocs.asyncapi import asyncapi
from gateway.apidocs.openapi import VALUES
from gateway.apidocs.problem_members import members_of
from gateway.app import api, create_app
from gateway.web.problems import MEDIA_TYPE, Problem
from gateway.web.surface import Surface, surface_of
from runtime.records import EventRecord, cloud_event, moment
from runtime.settings import Settings

GATEWAY: Final = Path(__file__).parents[2] / "gateway"

# Read from requests, but no part of what an operation means: HTTP's own, and what browsers send by themselves.
OF_HTTP: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "host",
        "origin",
        "transfer-encoding",
    }
)


PRIVATE: Final = Private("ada")
# As batches write events.
IN_THE_LOG: Final = msgspec.json.Encoder(enc_hook=lambda private: None)


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


def operations(document: Any) -> Iterator[dict[str, Any]]:
    """Every operation, and every delivery to webhooks."""
    for item in (*document["paths"].values(), *document["webhooks"].values()):
        yield from item.values()


def test_no_optional_property_is_null_by_default(document: Any) -> None:
    """Generated clients would send the null: a PATCH of one member then takes the others away."""
    assert [place for place, part in parts(document) if part.get("default", ...) is None] == []


def test_the_document_says_where_the_api_is(document: Any) -> None:
    assert [server["url"] for server in document["servers"]] == ["/"]


@pytest.fixture(scope="module")
def schemas(document: Any) -> dict[str, Any]:
    """Those of the feed's document among them: it has the same events."""
    return {**document["components"]["schemas"], **asyncapi("1.0.0")["components"]["schemas"]}


def test_every_property_says_what_it_means(schemas: dict[str, Any]) -> None:
    """In its field, or in `gateway.apidocs.glossary`."""
    assert [
        f"{name}.{word}"
        for name, schema in schemas.items()
        for word, said in schema.get("properties", {}).items()
        if not said.get("description")
    ] == []


def test_every_parameter_says_what_it_means(document: Any) -> None:
    assert [
        f"{operation['operationId']}: {parameter['name']}"
        for operation in operations(document)
        for parameter in operation.get("parameters", ())
        if not parameter.get("description")
    ] == []


# Words whose values are closed sets wherever they stand, but for these places.
CLOSED: Final = frozenset(
    {"status", "role", "scopes", "currency", "kind", "type", "code", "by", "format", "event_types"}
)
OPEN: Final = {
    "TaskView.kind": "each kind of task is declared by what does it",
    "TaskRetried.kind": "each kind of task is declared by what does it",
    "DeadLetterView.code": "what a library raised has a name of its own",
    "FailureView.code": "each kind of job has its own",
    "RowErrorView.code": "each kind of row has its own",
    "RowView.code": "each kind of row has its own",
    "InvalidPartView.type": "pydantic's words, and ours",
    "ProblemView.type": "a URI made from the code",
    "CommandFailed.code": "what a library raised has a name of its own",
    "Entry.code": "each provider has its own",
    "PaymentEntryView.code": "each provider has its own",
    "Code.code": "whatever an admin chose",
    "CodeBody.code": "whatever was typed",
    "NewGiftCardView.code": "each card has its own",
    "AppliedView.code": "whatever was typed",
    "Discount.code": "whatever was typed",
    "DiscountView.code": "whatever was typed",
    "Discount.kind": "each kind of promotion names its own",
    "DiscountView.kind": "each kind of promotion names its own",
    "Remark.code": "each rule of a quote has its own",
    "RemarkView.code": "each rule of a quote has its own",
    "WebhookChanged.event_types": "old ones may name what there is no more",
}


def test_closed_sets_are_listed(schemas: dict[str, Any]) -> None:
    assert [
        place
        for name, schema in schemas.items()
        for word, said in schema.get("properties", {}).items()
        if word in CLOSED and (place := f"{name}.{word}") not in OPEN and not _is_closed(said)
    ] == []


def _is_closed(schema: dict[str, Any]) -> bool:
    if "anyOf" in schema:
        return all(map(_is_closed, schema["anyOf"]))
    if schema.get("type") == "array":
        return _is_closed(schema["items"])
    return schema.get("type") != "string" or bool(schema.keys() & {"enum", "const"})


def test_every_example_fits_its_schema(document: Any) -> None:
    found = {f"{place}/{number}": rest for number, (place, *rest) in enumerate(examples(document))}
    # All in one: a validator takes in every component of the document, which takes a while.
    together = validator(document, {"properties": {place: schema for place, (schema, _) in found.items()}})
    errors = together.iter_errors({place: example for place, (_, example) in found.items()})
    assert [f"{error.instance_path[0]}: {error.message}" for error in errors] == []
    assert len(found) > 300


def examples(document: Any) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """(place, schema, example) of each: those in schemas are a list, those of media types named."""
    for place, part in parts(document):
        if isinstance(part.get("examples"), list):
            for example in part["examples"]:
                yield place, part, example
        elif isinstance(part.get("examples"), dict):
            for name, example in part["examples"].items():
                yield f"{place}/examples/{name}", part["schema"], example["value"]


def validator(document: Any, schema: dict[str, Any]) -> "jsonschema_rs.Validator":
    return jsonschema_rs.validator_for({**schema, "components": document["components"]}, validate_formats=True)


def test_no_example_of_a_problem_has_a_member_of_another_code(document: Any) -> None:
    known = set(Problem("not_found", "").document())
    for operation in operations(document):
        for response in operation["responses"].values():
            for code, example in response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {}).items():
                assert example["value"].keys() - known <= members_of(code), f"{operation['operationId']}: {code}"


@pytest.mark.parametrize("empty", [False, True], ids=["full", "with nulls"])
def test_every_type_of_event_is_documented_as_it_is_written(document: Any, *, empty: bool) -> None:
    """The CloudEvent of each fits the schema of its type, in the log and as it is delivered, and no other type's."""
    schemas = document["components"]["schemas"]
    log = validator(document, schemas["EventView"])
    assert set(document["webhooks"]) == set(EVENTS)
    # All in one, as above.
    deliveries = validator(document, {"properties": {name: _delivered(document, name) for name in EVENTS}})
    for kind in EVENTS.values():
        said = schemas[kind.__name__]["properties"]
        public = [field for field in fields(kind) if field.name not in private_fields(kind)]
        shown = {field.name: sample(field.type, said[field.name], schemas, empty=empty) for field in public}
        event = kind(**shown, **dict.fromkeys(private_fields(kind), PRIVATE))
        record = EventRecord(7, kind.type, "x", UUID(int=1), "ada", 0, msgspec.Raw(IN_THE_LOG.encode(event)))
        sent = msgspec.json.decode(msgspec.json.encode(cloud_event(record, f"urn:uuid:{UUID(int=2)}")))
        log.validate(sent)
        deliveries.validate({kind.type: sent})
        assert sent["data"].keys() == said.keys()
        assert sent.keys() == schemas[f"{kind.__name__}Event"]["properties"].keys()
        assert not log.is_valid({**sent, "data": {}}) or not said


def _delivered(document: Any, event_type: str) -> dict[str, Any]:
    """The schema of an event as it is delivered."""
    body = document["webhooks"][event_type]["post"]["requestBody"]["content"]["application/cloudevents+json"]
    schema: dict[str, Any] = body["schema"]
    return schema


_AREA: Final = Area("DE", "BE", PostalCodes("10", "14"))
TERMS: Final[dict[type[msgspec.Struct], msgspec.Struct]] = {
    Taxes: Taxes("GB", (TaxRate("VAT", _AREA, "standard", 2_000),), policies={"DE": TaxPolicy(included=True)}),
    Method: Method(UUID(int=1), "Post", areas=(_AREA,), rates=(Rate("GBP", 395, free_from_minor=5_000),)),
    Promotion: Promotion(UUID(int=1), 1, "Spring", Percent(percent_bp=1_000), (Quantity(2),), budget_minor={"GBP": 1}),
    PriceList: PriceList(UUID(int=1), "Sale", groups=frozenset({"wholesale"})),
    PurchaseLimit: PurchaseLimit(UUID(int=1), 2),
}
"""Those that not any values will do for."""


def sample(kind: Any, schema: dict[str, Any], schemas: dict[str, Any], *, empty: bool) -> Any:
    """A value of the type, from the closed set if the schema has one; null if that may be and is wanted."""
    for one in schema.get("anyOf", ()):
        if (one == {"type": "null"}) == empty:
            some = next(arg for arg in get_args(kind) if arg is not NoneType)
            return None if empty else sample(some, one, schemas, empty=empty)
    if "enum" in schema:
        return schema["enum"][0]
    if get_origin(kind) is Annotated:
        return sample(get_args(kind)[0], schema, schemas, empty=empty)
    if get_origin(kind) is tuple:
        return (sample(get_args(kind)[0], schema["items"], schemas, empty=empty),)
    if kind in TERMS:
        return TERMS[kind]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        said = schemas[kind.__name__]["properties"]
        parts = {field.name: sample(field.type, said[field.name], schemas, empty=empty) for field in fields(kind)}
        return kind(**parts)
    if get_origin(kind) is dict:
        return {}
    samples = {
        UUID: UUID(int=1),
        str: "x",
        int: 1,
        float: 1.5,
        bool: True,
        datetime: moment(0),
    }
    return samples[kind]


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


def test_every_header_that_is_read_is_documented_by_an_operation(surface: Surface) -> None:
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
