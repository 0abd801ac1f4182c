"""Who may do what: every operation of the OpenAPI document, tried in every role, against a handwritten table.

The table is the specification. A route without a row fails, a row without a route fails, and so does a route whose
`Requirement` was changed without the table. What a role may see of other people's things is at the end.
"""

import re
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, NamedTuple

import pytest

from domain.roles import SCOPES_OF_ROLE
from tests.e2e.api import API, Answer, Client
from tests.e2e.shop import Shop


class Least(NamedTuple):
    """The lowest role that is allowed, and the scope it also needs. `open` needs no token and ignores any."""

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
    "POST /api/v1/orders/{order_id}/payments": _GUEST_WRITES,
    "GET /api/v1/orders/{order_id}/payments": _GUEST_READS,
    "POST /api/v1/orders/{order_id}/refund": Least("staff", "orders:write"),
    "GET /api/v1/payments": Least("staff", "orders:read"),
    "GET /api/v1/payments/{payment_id}": _GUEST_READS,
    "POST /api/v1/payments/{payment_id}/capture": Least("staff", "orders:write"),
    "POST /api/v1/payments/{payment_id}/void": Least("staff", "orders:write"),
    "POST /api/v1/payments/{payment_id}/refund": Least("staff", "orders:write"),
    "POST /api/v1/payments/{payment_id}/settle": Least("staff", "orders:write"),
    "POST /hooks/payments/{provider}": _OPEN,
    "POST /api/v1/gift-cards": Least("staff", "orders:write"),
    "GET /api/v1/gift-cards": Least("staff", "orders:read"),
    "POST /api/v1/gift-cards/balance": Least("nobody"),
    "GET /api/v1/gift-cards/{card_id}": Least("staff", "orders:read"),
    "POST /api/v1/gift-cards/{card_id}/disable": Least("staff", "orders:write"),
    "POST /api/v1/gift-cards/{card_id}/mail": Least("staff", "orders:write"),
    "GET /api/v1/store-credit": Least("customer", "orders:read"),
    "GET /api/v1/store-credit/{customer_id}": Least("staff", "orders:read"),
    "POST /api/v1/store-credit/{customer_id}": Least("staff", "orders:write"),
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
    "GET /api/v1/customers/{account_id}": _USERS,
    "PUT /api/v1/customers/{account_id}": _USERS,
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
    "GET /api/v1/prices": Least("nobody"),
    "GET /api/v1/products/{product_id}/variants/{sku}/prices": Least("staff", "catalogue:read"),
    "PUT /api/v1/products/{product_id}/variants/{sku}/prices": _CATALOGUE,
    "GET /api/v1/terms/price-lists/{price_list_id}/prices": Least("staff", "catalogue:read"),
    "PUT /api/v1/terms/price-lists/{price_list_id}/prices/{sku}": _CATALOGUE,
    "DELETE /api/v1/terms/price-lists/{price_list_id}/prices/{sku}": _CATALOGUE,
    "GET /api/v1/categories": Least("nobody"),
    "POST /api/v1/categories": _CATALOGUE,
    "GET /api/v1/categories/{category_id}": Least("nobody"),
    "PATCH /api/v1/categories/{category_id}": _CATALOGUE,
    "GET /api/v1/terms": Least("staff", "catalogue:read"),
    "PUT /api/v1/terms/taxes": _CATALOGUE,
    "PUT /api/v1/terms/methods/{method_id}": _CATALOGUE,
    "PUT /api/v1/terms/promotions/{promotion_id}": _CATALOGUE,
    "PUT /api/v1/terms/price-lists/{price_list_id}": _CATALOGUE,
    "PUT /api/v1/terms/purchase-limits/{limit_id}": _CATALOGUE,
    "POST /api/v1/terms/promotions/{promotion_id}/codes": _CATALOGUE,
    "DELETE /api/v1/terms/codes/{code}": _CATALOGUE,
    "DELETE /api/v1/terms/taxes": _CATALOGUE,
    "DELETE /api/v1/terms/{kind}/{part_id}": _CATALOGUE,
    "POST /api/v1/promotions/preview": Least("staff", "catalogue:read"),
    "POST /api/v1/checkouts": Least("nobody", "orders:write"),
    "GET /api/v1/checkouts/{checkout_id}": _GUEST_READS,
    "PATCH /api/v1/checkouts/{checkout_id}": _GUEST_WRITES,
    "DELETE /api/v1/checkouts/{checkout_id}": _GUEST_WRITES,
    "POST /api/v1/checkouts/{checkout_id}/take-over": Least("customer", "orders:write"),
    "POST /api/v1/checkouts/{checkout_id}/complete": _GUEST_WRITES,
    "POST /api/v1/orders": Least("nobody", "orders:write"),
    "GET /api/v1/orders": _GUEST_READS,
    "GET /api/v1/orders/{order_id}": _GUEST_READS,
    "GET /api/v1/orders/{order_id}/invoice": Least("guest", "orders:read"),
    "GET /api/v1/orders/{order_id}/credit-notes": Least("guest", "orders:read"),
    "GET /api/v1/orders/{order_id}/credit-notes/{number}": Least("guest", "orders:read"),
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
async def shop(shop: Shop) -> AsyncIterator[Shop]:
    async with shop.with_lasting_connections() as lasting:
        yield lasting


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
    """Asks for something that does not exist, with an invalid body: an allowed caller is told so, and nothing
    happens."""
    method, path = operation.split()
    path = re.sub(r"{\w+}", lambda _: str(uuid.uuid4()), path)
    return await client.request(method, path, data=None if method == "GET" else b"[]", headers=_JSON)


async def test_every_operation_has_a_row_and_every_row_an_operation(document: Any) -> None:
    assert {operation for operation, _ in _operations(document)} == set(WHO_MAY)


async def test_the_document_says_who_is_allowed(document: Any) -> None:
    for operation, said in _operations(document):
        least = WHO_MAY[operation]
        if least is _OPEN:
            assert said["security"] == [], operation
            continue
        assert {"oauth2": [least.scope] if least.scope else []} in said["security"], operation
        assert ({} in said["security"]) == (least.role == "nobody"), operation


async def test_every_role_that_needs_a_scope_has_it() -> None:
    for operation, least in WHO_MAY.items():
        if least.scope is not None:
            for role in _ROLES[max(1, _ROLES.index(least.role)) :]:
                assert least.scope in SCOPES_OF_ROLE[role], (operation, role)


@pytest.mark.parametrize("role", _ROLES)
async def test_each_role_may_do_what_the_table_says(shop: Shop, document: Any, role: str) -> None:
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
async def test_an_invalid_token_is_refused_everywhere(shop: Shop, document: Any, token: str) -> None:
    """Even where none is needed: a client that sends a token expects it to count."""
    for operation, least in _rows(document):
        if least is not _OPEN:
            answer = await _ask(shop.with_token(token), operation)
            assert answer.status == 401, (operation, answer)


@pytest.mark.parametrize("scope", sorted({least.scope for least in WHO_MAY.values() if least.scope}))
async def test_a_key_with_one_scope_may_do_what_that_scope_allows(shop: Shop, document: Any, scope: str) -> None:
    body = {"name": f"Only {scope}", "role": "admin", "scopes": [scope]}
    made = (await shop.client("admin", "matrix-admin").post("/keys", body, wait=None)).ok(201)
    client = shop.with_token(made["key"])
    for operation, least in _rows(document):
        answer = await _ask(client, operation)
        if least.scope in {None, scope}:
            assert answer.status not in _TURNED_AWAY, (operation, answer)
        else:
            answer.problem(403, "forbidden")


async def test_other_peoples_things_are_not_found(shop: Shop) -> None:
    """404, not 403, which would reveal that they exist. Staff find everything."""
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


async def test_nothing_outside_the_api_needs_a_caller(document: Any) -> None:
    """Every path that does is below the API's prefix."""
    for operation, least in WHO_MAY.items():
        path = operation.split()[1]
        assert path.startswith(f"{API}/") or least.role in {"open", "nobody"}, operation
