"""Who may do what: every operation of the OpenAPI document, asked by every role, against a table written by hand.

The table is the promise. A new route without a row fails, a row without a route fails, and so does a route whose
`Requirement` is changed without the table. What a role may see of others' things is at the end.
"""

import re
import uuid
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest

from domain.roles import SCOPES_OF_ROLE
from tests.e2e.api import API, Answer, Client
from tests.e2e.shop import Shop


class Least(NamedTuple):
    """The least role that may, and the scope that it takes besides. `open` takes no token, and looks at none."""

    role: str
    scope: str | None = None


_ROLES: Final = ("nobody", "guest", "customer", "staff", "admin")

_OPEN: Final = Least("open")
_GUEST_READS: Final = Least("guest", "orders:read")
_GUEST_WRITES: Final = Least("guest", "orders:write")
_PROFILE: Final = Least("customer", "profile:write")
_STOCK: Final = Least("staff", "inventory:write")
_LOG: Final = Least("staff", "events:read")
_WEBHOOKS: Final = Least("staff", "webhooks:write")
_REPORTS: Final = Least("staff", "reports:write")
_TASKS: Final = Least("staff", "tasks:write")
_EXPORTS: Final = Least("staff", "exports:read")
_CATALOGUE: Final = Least("admin", "catalogue:write")
_IMPORTS: Final = Least("admin", "imports:write")
_USERS: Final = Least("admin", "users:write")
_KEYS: Final = Least("admin", "keys:write")

WHO_MAY: Final = {
    "POST /api/auth/token": _OPEN,
    "POST /api/auth/refresh": _OPEN,
    "POST /api/auth/logout": Least("nobody"),
    "POST /api/auth/register": _OPEN,
    "POST /api/auth/confirm": _OPEN,
    "POST /api/auth/password/forgot": _OPEN,
    "POST /api/auth/password/reset": _OPEN,
    "GET /.well-known/jwks.json": _OPEN,
    "GET /health/live": _OPEN,
    "GET /health/ready": _OPEN,
    "GET /metrics": Least("nobody"),  # in production more: see test_metrics.py
    "GET /api/v1/me": Least("customer"),
    "PATCH /api/v1/me": _PROFILE,
    "DELETE /api/v1/me": Least("guest", "profile:write"),
    "GET /api/v1/me/export": Least("guest"),
    "POST /api/v1/me/password": _PROFILE,
    "GET /api/v1/users": _USERS,
    "POST /api/v1/users": _USERS,
    "GET /api/v1/users/{user_id}": _USERS,
    "PATCH /api/v1/users/{user_id}": _USERS,
    "DELETE /api/v1/users/{user_id}": _USERS,
    "POST /api/v1/users/{user_id}/deactivate": _USERS,
    "POST /api/v1/users/{user_id}/reactivate": _USERS,
    "GET /api/v1/keys": _KEYS,
    "POST /api/v1/keys": _KEYS,
    "GET /api/v1/keys/{key_id}": _KEYS,
    "POST /api/v1/keys/{key_id}/revoke": _KEYS,
    "GET /api/v1/products": Least("nobody"),
    "POST /api/v1/products": _CATALOGUE,
    "GET /api/v1/products/{product_id}": Least("nobody"),
    "PATCH /api/v1/products/{product_id}": _CATALOGUE,
    "POST /api/v1/products/{product_id}/archive": _CATALOGUE,
    "PUT /api/v1/products/{product_id}/variants/{sku}": _CATALOGUE,
    "PATCH /api/v1/products/{product_id}/variants/{sku}": _CATALOGUE,
    "GET /api/v1/categories": Least("nobody"),
    "POST /api/v1/categories": _CATALOGUE,
    "GET /api/v1/categories/{category_id}": Least("nobody"),
    "PATCH /api/v1/categories/{category_id}": _CATALOGUE,
    "POST /api/v1/orders": Least("nobody", "orders:write"),
    "GET /api/v1/orders": _GUEST_READS,
    "GET /api/v1/orders/{order_id}": _GUEST_READS,
    "GET /api/v1/orders/{order_id}/history": _GUEST_READS,
    "POST /api/v1/orders/{order_id}/confirm": _GUEST_WRITES,
    "POST /api/v1/orders/{order_id}/cancel": _GUEST_WRITES,
    "POST /api/v1/orders/{order_id}/fulfil": Least("staff", "orders:write"),
    "GET /api/v1/inventory": Least("staff", "inventory:read"),
    "GET /api/v1/inventory/{sku}": Least("customer"),
    "POST /api/v1/inventory/{sku}/receipts": _STOCK,
    "POST /api/v1/inventory/{sku}/adjustments": _STOCK,
    "GET /api/v1/commands/{command_id}": Least("guest"),
    "GET /api/v1/dead-letters": _LOG,
    "GET /api/v1/events": _LOG,
    "GET /api/v1/events/stream": Least("guest"),
    "GET /api/v1/webhooks": _WEBHOOKS,
    "POST /api/v1/webhooks": _WEBHOOKS,
    "GET /api/v1/webhooks/{webhook_id}": _WEBHOOKS,
    "PATCH /api/v1/webhooks/{webhook_id}": _WEBHOOKS,
    "DELETE /api/v1/webhooks/{webhook_id}": _WEBHOOKS,
    "POST /api/v1/webhooks/{webhook_id}/secret": _WEBHOOKS,
    "POST /api/v1/webhooks/{webhook_id}/redeliver": _WEBHOOKS,
    "GET /api/v1/webhooks/{webhook_id}/deliveries": _WEBHOOKS,
    "GET /api/v1/reports": _REPORTS,
    "POST /api/v1/reports": _REPORTS,
    "GET /api/v1/reports/{report_id}": _REPORTS,
    "GET /api/v1/reports/{report_id}/result": _REPORTS,
    "GET /api/v1/imports": _IMPORTS,
    "POST /api/v1/imports": _IMPORTS,
    "GET /api/v1/imports/{import_id}": _IMPORTS,
    "GET /api/v1/imports/{import_id}/errors": _IMPORTS,
    "GET /api/v1/imports/{import_id}/rows": _IMPORTS,
    "GET /api/v1/tasks": _TASKS,
    "GET /api/v1/tasks/{task_id}": _TASKS,
    "POST /api/v1/tasks/{task_id}/retry": _TASKS,
    "GET /api/v1/exports/products.csv": _EXPORTS,
    "GET /api/v1/exports/orders.csv": _EXPORTS,
}

_JSON: Final = {"Content-Type": "application/json"}
_TURNED_AWAY: Final = {401, 403}


@pytest.fixture(scope="module")
async def document(shop: Shop) -> Any:
    return (await shop.anybody.request("GET", "/api/openapi.json")).ok()


def _operations(document: Any) -> Iterator[tuple[str, Any]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def _rows(document: Any) -> list[tuple[str, Least]]:
    return [(operation, WHO_MAY[operation]) for operation, _ in _operations(document)]


async def _ask(client: Client, operation: str) -> Answer:
    """Asks for something that is not there, with a body that is none: who may is told so, and nothing comes of it."""
    method, path = operation.split()
    path = re.sub(r"{\w+}", lambda _: str(uuid.uuid4()), path)
    return await client.request(method, path, data=None if method == "GET" else b"[]", headers=_JSON)


async def test_every_operation_has_a_row_and_every_row_an_operation(document: Any) -> None:
    assert {operation for operation, _ in _operations(document)} == set(WHO_MAY)


async def test_the_document_says_who_may(document: Any) -> None:
    for operation, said in _operations(document):
        least = WHO_MAY[operation]
        if least is _OPEN:
            assert said["security"] == [], operation
            continue
        assert {"oauth2": [least.scope] if least.scope else []} in said["security"], operation
        assert ({} in said["security"]) == (least.role == "nobody"), operation


async def test_a_scope_is_had_by_every_role_that_may_use_it() -> None:
    for operation, least in WHO_MAY.items():
        if least.scope is not None:
            for role in _ROLES[max(1, _ROLES.index(least.role)) :]:
                assert least.scope in SCOPES_OF_ROLE[role], (operation, role)


@pytest.mark.parametrize("role", _ROLES)
async def test_each_role_may_what_the_table_says(shop: Shop, document: Any, role: str) -> None:
    client = shop.anybody if role == "nobody" else shop.client(role, f"matrix-{role}")
    for operation, least in _rows(document):
        answer = await _ask(client, operation)
        if least is _OPEN or _ROLES.index(role) >= _ROLES.index(least.role):
            assert answer.status not in _TURNED_AWAY, (operation, answer)
            assert answer.status < 500, (operation, answer)
        elif role == "nobody":
            answer.problem(401, "unauthenticated")
        else:
            answer.problem(403, "forbidden")


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c", "tgk_nonsense"])
async def test_a_token_that_is_none_opens_nothing(shop: Shop, document: Any, token: str) -> None:
    """Not even what needs none: whoever sends a token means to be somebody."""
    for operation, least in _rows(document):
        if least is not _OPEN:
            answer = await _ask(shop.with_token(token), operation)
            assert answer.status == 401, (operation, answer)


@pytest.mark.parametrize("scope", sorted({least.scope for least in WHO_MAY.values() if least.scope}))
async def test_a_key_with_one_scope_may_what_that_scope_is_for(shop: Shop, document: Any, scope: str) -> None:
    body = {"name": f"Only {scope}", "role": "admin", "scopes": [scope]}
    made = (await shop.client("admin", "matrix-admin").post("/keys", body, wait=None)).ok(201)
    client = shop.with_token(made["key"])
    for operation, least in _rows(document):
        answer = await _ask(client, operation)
        if least.scope in {None, scope}:
            assert answer.status not in _TURNED_AWAY, (operation, answer)
        else:
            answer.problem(403, "forbidden")


async def test_what_is_another_s_is_not_found(shop: Shop) -> None:
    """404, not 403: that it exists is nobody else's business. Staff find everything."""
    sku = await shop.product(on_hand=10)
    owner = shop.customer()
    order = (await owner.placed({sku: 1}))["id"]
    command = (await owner.place({sku: 1}, wait=None)).ok(202)["command_id"]
    await owner.settled(command)
    views = (f"/orders/{order}", f"/orders/{order}/history", f"/commands/{command}")
    for path in views:
        for other in (shop.customer(), shop.client("guest", f"guest:{uuid.uuid4()}")):
            assert (await other.get(path)).status == 404, path
        for insider in (owner, shop.staff):
            (await insider.get(path)).ok()
    for verb in ("confirm", "cancel"):
        for other in (shop.customer(), shop.client("guest", f"guest:{uuid.uuid4()}")):
            (await other.post(f"/orders/{order}/{verb}")).problem(404, "order_not_found")
    assert (await owner.get(f"/orders/{order}")).ok()["status"] == "placed"
    assert order not in {other["id"] for other in (await shop.customer().get("/orders")).ok()["items"]}


async def test_the_api_is_where_the_table_says(document: Any) -> None:
    """Nothing that needs a caller hides beside the API."""
    for operation, least in WHO_MAY.items():
        path = operation.split()[1]
        assert path.startswith(f"{API}/") or least.role in {"open", "nobody"}, operation
