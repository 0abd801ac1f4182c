"""What the API says of itself: its OpenAPI document, which the answers keep to, its docs, and its health."""

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from gateway.pages import Page
from gateway.problems import STATUS_OF_CODE
from gateway.routes.documents import AcceptedView, ProblemView
from gateway.routes.health import HealthView
from gateway.routes.log import EventsView
from gateway.views.catalogue import InventoryView, ProductView
from gateway.views.commands import CommandView, DeadLetterView
from gateway.views.orders import OrderView
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
    """What a local reference points at; KeyError if nothing is there."""
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


async def test_every_operation_is_whole(document: Any) -> None:
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


async def test_every_operation_of_the_api_names_its_problems(document: Any) -> None:
    for method, path, operation in _operations(document):
        if not path.startswith(API):
            assert "security" not in operation
            continue
        assert operation["security"] == [{"bearer": []}]
        problems = {status for status, said in operation["responses"].items() if PROBLEM in said.get("content", {})}
        assert {"401", "403", "404", "422", "503"} <= problems, f"{method} {path}"
        assert {int(status) for status in problems} <= set(STATUS_OF_CODE.values())
        if method == "post":
            assert {"400", "409", "413", "415"} <= problems, path
            assert {"Prefer", "Idempotency-Key"} <= {parameter["name"] for parameter in operation["parameters"]}
            assert "202" in operation["responses"]


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


def _documented(document: Any, method: str, path: str, answer: Answer, model: type[BaseModel]) -> Any:
    """Checks an answer against its operation: the status and the schema are documented, and the body is that, with no
    member more. Returns what it is.
    """
    content = document["paths"][path][method]["responses"][str(answer.status)]["content"]
    schema = _resolve(document, content[answer.headers["Content-Type"]]["schema"]["$ref"])
    assert schema["title"] == model.__name__
    return model.model_validate_json(answer.body, extra="forbid")


async def test_answers_keep_to_the_document(shop: Shop, document: Any) -> None:
    customer = shop.customer()
    sku = await shop.product(on_hand=10)
    orders = f"{API}/orders"

    placed = _documented(document, "post", orders, await customer.place({sku: 1}), OrderView)
    accepted = _documented(document, "post", orders, await customer.place({sku: 1}, wait=None), AcceptedView)
    _documented(document, "get", orders, await customer.get("/orders"), Page[OrderView])
    one = f"{orders}/{{order_id}}"
    assert _documented(document, "get", one, await customer.get(f"/orders/{placed.id}"), OrderView) == placed
    _documented(document, "post", f"{one}/cancel", await customer.cancel(placed.id), OrderView)
    await customer.settled(accepted.command_id)
    _documented(document, "post", f"{one}/cancel", await customer.cancel(accepted.id, wait=None), AcceptedView)

    command = await customer.get(f"/commands/{accepted.command_id}")
    assert _documented(document, "get", f"{API}/commands/{{command_id}}", command, CommandView).status == "applied"
    _documented(document, "get", f"{API}/products", await customer.get("/products"), Page[ProductView])
    inventory = f"{API}/inventory/{{sku}}"
    _documented(document, "get", inventory, await customer.get(f"/inventory/{sku}"), InventoryView)
    received = await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1})
    _documented(document, "post", f"{inventory}/receipts", received, InventoryView)
    adjusted = await shop.staff.post(f"/inventory/{sku}/adjustments", {"change": 1, "reason": "found"})
    _documented(document, "post", f"{inventory}/adjustments", adjusted, InventoryView)
    _documented(document, "get", f"{API}/events", await shop.staff.get("/events"), EventsView)
    _documented(document, "get", f"{API}/dead-letters", await shop.staff.get("/dead-letters"), Page[DeadLetterView])
    _documented(document, "get", "/health/ready", await shop.anybody.request("GET", "/health/ready"), HealthView)


async def test_problems_keep_to_the_document(shop: Shop, document: Any) -> None:
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


@pytest.mark.parametrize("path", ["/api/docs", "/api/redoc"])
async def test_the_docs_answer(shop: Shop, path: str) -> None:
    answer = await shop.anybody.request("GET", path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"/api/openapi.json" in answer.body


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/api", "/api/v1", "/api/v1/nothing", "/api/v2/orders", "/%00", "/ws"]
)
async def test_what_is_not_there_is_a_problem_too(shop: Shop, path: str) -> None:
    (await shop.anybody.request("GET", path)).problem(404, "not_found")
    (await shop.staff.request("POST", path, data=b"x")).problem(404, "not_found")


@pytest.mark.parametrize("path", ["/health/live", "/metrics", f"{API}/products"])
async def test_what_can_only_be_read_is_not_written(shop: Shop, path: str) -> None:
    (await shop.staff.request("POST", path, data=b"{}")).problem(405, "method_not_allowed")


async def test_the_gateway_is_alive_and_ready(shop: Shop) -> None:
    assert (await shop.anybody.request("GET", "/health/live")).ok() == {"status": "alive"}
    ready = (await shop.anybody.request("GET", "/health/ready")).ok()
    assert ready == {"status": "ready", "redis": True, "postgres": True}


async def test_a_request_keeps_the_id_it_came_with(shop: Shop) -> None:
    for path in ("/health/live", f"{API}/orders", "/nothing"):
        answer = await shop.anybody.request("GET", path, headers={"X-Request-ID": "from-the.client_7"})
        assert answer.headers["X-Request-ID"] == "from-the.client_7"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>", "ä"])
async def test_an_id_that_is_none_is_replaced(shop: Shop, given: str) -> None:
    answer = await shop.anybody.request("GET", "/health/live", headers={"X-Request-ID": given})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])
