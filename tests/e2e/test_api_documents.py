"""What the API says about itself: its OpenAPI document, which the answers conform to, its docs, and its health."""

import copy
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from pydantic import BaseModel
from schemathesis.core.result import Err

from domain.roles import SCOPES_OF_ROLE
from gateway.apidocs.responses import AcceptedView, ProblemView
from gateway.catalogue.product_pages import ProductsPage
from gateway.routes.health import HealthView
from gateway.routes.log import EventsView
from gateway.views.commands import CommandView, DeadLetterView
from gateway.views.inventory import InventoryView, ShelfView
from gateway.views.orders import OrderView, PlacedView
from gateway.web.pages import Page
from gateway.web.problems import STATUS_OF_CODE
from tests.e2e.api import API, PROBLEM, Answer
from tests.e2e.shop import Shop


@pytest.fixture(scope="module")
async def document(shop: Shop) -> Any:
    return (await shop.anybody.request("GET", "/api/openapi.json")).ok()


def _operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    """(method, path, operation) of the whole document."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def _references(part: Any) -> Iterator[str]:
    """Every `$ref` at any depth."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def _resolve(document: Any, reference: str) -> Any:
    """The target of a local reference; KeyError if there is none."""
    start, *names = reference.split("/")
    assert start == "#", reference
    found = document
    for name in names:
        found = found[name.replace("~1", "/").replace("~0", "~")]
    return found


async def test_the_document_is_openapi_3_1(document: Any) -> None:
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert document["info"]["title"] == "Tidegate"
    assert document["info"]["version"]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


async def test_every_reference_of_the_document_leads_somewhere(document: Any) -> None:
    references = set(_references(document))
    assert references
    for reference in references:
        assert _resolve(document, reference), reference


async def test_every_operation_is_fully_described(document: Any) -> None:
    ids = [operation["operationId"] for _, _, operation in _operations(document)]
    assert len(ids) == len(set(ids))
    for method, path, operation in _operations(document):
        place = f"{method} {path}"
        assert operation["summary"], place
        assert operation["description"], place
        assert operation["responses"], place
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d", status), place
            assert response["description"], place
        in_path = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path" and p["required"]}
        assert in_path == set(re.findall(r"{(\w+)}", path)), place
        for parameter in operation.get("parameters", []):
            assert parameter["schema"], place


async def test_operation_ids_make_good_method_names(document: Any) -> None:
    for method, path, operation in _operations(document):
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", operation["operationId"]), f"{method} {path}"


async def test_every_tag_is_described_and_every_operation_has_one(document: Any) -> None:
    explained = [tag["name"] for tag in document["tags"]]
    assert all(tag["description"] for tag in document["tags"])
    used = [operation["tags"] for _, _, operation in _operations(document)]
    assert all(len(tags) == 1 for tags in used)
    assert set(explained) == {tag for tags in used for tag in tags}


async def test_the_authorize_button_offers_every_scope(document: Any) -> None:
    flow = document["components"]["securitySchemes"]["oauth2"]["flows"]["password"]
    assert flow["tokenUrl"] == "/api/auth/token"
    assert set(flow["scopes"]) == frozenset().union(*SCOPES_OF_ROLE.values())
    assert all(flow["scopes"].values())


async def test_every_operation_of_the_api_names_its_problems(document: Any) -> None:
    for method, path, operation in _operations(document):
        place = f"{method} {path}"
        if not path.startswith(API):
            continue
        assert operation["security"], place
        problems = {status for status, said in operation["responses"].items() if PROBLEM in said.get("content", {})}
        assert {"401", "403", "503"} <= problems, place
        if "requestBody" in operation:
            assert {"400", "413", "415", "422"} <= problems, place
        taken = {parameter["name"] for parameter in operation.get("parameters", ())}
        if "Prefer" in taken:
            assert "Idempotency-Key" in taken, place
            assert "202" in operation["responses"], place


async def test_every_problem_has_its_codes_as_examples(document: Any) -> None:
    for method, path, operation in _operations(document):
        for status, said in operation["responses"].items():
            problem = said.get("content", {}).get(PROBLEM)
            if problem is None:
                continue
            assert problem["schema"] == {"$ref": "#/components/schemas/ProblemView"}
            for code, example in problem.get("examples", {}).items():
                assert STATUS_OF_CODE[code] == int(status), f"{method} {path}"
                assert ProblemView.model_validate(example["value"]).code == code
            headers = said.get("headers", {})
            assert ("WWW-Authenticate" in headers) == (status == "401"), f"{method} {path}"
            assert ("Retry-After" in headers) >= (status in {"429", "503"}), f"{method} {path}"


async def test_answers_document_their_headers(document: Any) -> None:
    for method, path, operation in _operations(document):
        taken = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "header"}
        named = {status: set(said.get("headers", ())) for status, said in operation["responses"].items()}
        place = f"{method} {path}"
        for status in {"201", "202"} & named.keys():
            assert "Location" in named[status], place
        for status in {"200", "201"} & named.keys():
            assert ("Prefer" in taken) <= ({"Preference-Applied", "Idempotency-Replayed"} <= named[status]), place
        if taken & {"If-Match", "If-None-Match"}:
            assert any("ETag" in headers for headers in named.values()), place


async def test_no_two_paths_are_the_same_but_for_a_name(document: Any) -> None:
    """OpenAPI forbids this, for a client could not tell them apart."""
    paths = [re.sub(r"{\w+}", "{}", path) for path in document["paths"]]
    assert len(paths) == len(set(paths))


async def test_the_document_is_valid(shop: Shop, document: Any) -> None:
    """As Schemathesis reads it: every operation is understood, and its schemas are valid."""
    said = copy.deepcopy(document)
    # The document does not know its host, so this URL is relative, which all tools accept; OpenAPI's schema wants it
    # absolute.
    flow = said["components"]["securitySchemes"]["oauth2"]["flows"]["password"]
    flow["tokenUrl"] = shop.system.url + flow["tokenUrl"]
    loaded = schemathesis.openapi.from_dict(said)
    loaded.validate()
    assert not [result for result in loaded.get_all_operations() if isinstance(result, Err)]


async def test_the_bodies_of_writes_are_documented(document: Any) -> None:
    operation = document["paths"][f"{API}/orders"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    while "$ref" in schema:
        schema = _resolve(document, schema["$ref"])
    assert schema["additionalProperties"] is False
    line = schema["properties"]["lines"]["items"]
    line = _resolve(document, line["$ref"]) if "$ref" in line else line
    assert line["required"] == ["sku", "quantity"]
    assert line["properties"]["quantity"]["minimum"] == 1


async def test_every_body_can_be_sent_as_the_examples_have_it(document: Any) -> None:
    for method, path, operation in _operations(document):
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            schema = content["schema"]
            while "$ref" in schema:
                schema = _resolve(document, schema["$ref"])
            for name in schema.get("required", ()):
                examples = schema.get("examples") or schema["properties"][name].get("examples")
                assert examples, f"{method} {path}: {media_type}: {name}"


def _documented(document: Any, method: str, path: str, answer: Answer, model: type[BaseModel]) -> Any:
    """Checks an answer against its operation: the status and schema are documented, and the body fits, with no
    undocumented member. Returns the body.
    """
    content = document["paths"][path][method]["responses"][str(answer.status)]["content"]
    said = content[answer.headers["Content-Type"]]["schema"]
    titles = [_resolve(document, one["$ref"])["title"] for one in said.get("anyOf", [said])]
    assert model.__name__ in titles
    return model.model_validate_json(answer.body, extra="forbid")


async def test_answers_conform_to_the_document(shop: Shop, document: Any) -> None:
    customer = shop.customer()
    sku = await shop.product(on_hand=10)
    orders = f"{API}/orders"

    placed = _documented(document, "post", orders, await customer.place({sku: 1}), PlacedView)
    accepted = _documented(document, "post", orders, await customer.place({sku: 1}, wait=None), AcceptedView)
    _documented(document, "get", orders, await customer.get("/orders"), Page[OrderView])
    one = f"{orders}/{{order_id}}"
    assert _documented(document, "get", one, await customer.get(f"/orders/{placed.id}"), OrderView).id == placed.id
    _documented(document, "post", f"{one}/cancel", await customer.cancel(placed.id), OrderView)
    await customer.settled(accepted.command_id)
    _documented(document, "post", f"{one}/cancel", await customer.cancel(accepted.id, wait=None), AcceptedView)

    command = await customer.get(f"/commands/{accepted.command_id}")
    assert _documented(document, "get", f"{API}/commands/{{command_id}}", command, CommandView).status == "applied"
    _documented(document, "get", f"{API}/products", await customer.get("/products"), ProductsPage)
    inventory = f"{API}/inventory/{{sku}}"
    _documented(document, "get", inventory, await customer.get(f"/inventory/{sku}"), ShelfView)
    _documented(document, "get", inventory, await shop.staff.get(f"/inventory/{sku}"), InventoryView)
    received = await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1})
    _documented(document, "post", f"{inventory}/receipts", received, InventoryView)
    adjusted = await shop.staff.post(f"/inventory/{sku}/adjustments", {"change": 1, "reason": "found"})
    _documented(document, "post", f"{inventory}/adjustments", adjusted, InventoryView)
    _documented(document, "get", f"{API}/events", await shop.staff.get("/events"), EventsView)
    _documented(document, "get", f"{API}/dead-letters", await shop.staff.get("/dead-letters"), Page[DeadLetterView])
    _documented(document, "get", "/health/ready", await shop.anybody.request("GET", "/health/ready"), HealthView)


async def test_problems_conform_to_the_document(shop: Shop, document: Any) -> None:
    schema = document["components"]["schemas"]["ProblemView"]
    problems = [
        await shop.anybody.get("/orders"),
        await shop.customer().get(f"/orders/{uuid.uuid4()}"),
        await shop.customer().get("/orders/none"),
        await shop.customer().post("/orders", b"{"),
        await shop.customer().place({"NO-SUCH-SKU": 1}),
    ]
    for answer in problems:
        ProblemView.model_validate_json(answer.body)
        assert set(schema["required"]) <= answer.json().keys()


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/api", "/api/v1", "/api/v1/nothing", "/api/v2/orders", "/%00", "/ws"]
)
async def test_an_unknown_path_is_a_problem_too(shop: Shop, path: str) -> None:
    (await shop.anybody.request("GET", path)).problem(404, "not_found")
    (await shop.staff.request("POST", path, data=b"x")).problem(404, "not_found")


@pytest.mark.parametrize("path", ["/health/live", "/metrics", f"{API}/events"])
async def test_read_only_paths_take_no_writes(shop: Shop, path: str) -> None:
    (await shop.staff.request("POST", path, data=b"{}")).problem(405, "method_not_allowed")


async def test_the_gateway_is_alive_and_ready(shop: Shop) -> None:
    assert (await shop.anybody.request("GET", "/health/live")).ok() == {"status": "alive"}
    ready = (await shop.anybody.request("GET", "/health/ready")).ok()
    assert ready == {"status": "ready", "redis": True, "postgres": True}
    for what in ("reads", "writes"):
        assert (await shop.anybody.request("GET", f"/health/ready?for={what}")).ok() == ready
    (await shop.anybody.request("GET", "/health/ready?for=everything")).problem(422, "invalid_request")


async def test_a_request_keeps_the_id_it_came_with(shop: Shop) -> None:
    for path in ("/health/live", f"{API}/orders", "/nothing"):
        answer = await shop.anybody.request("GET", path, headers={"X-Request-ID": "from-the.client_7"})
        assert answer.headers["X-Request-ID"] == "from-the.client_7"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>", "ä"])
async def test_an_invalid_request_id_is_replaced(shop: Shop, given: str) -> None:
    answer = await shop.anybody.request("GET", "/health/live", headers={"X-Request-ID": given})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])
