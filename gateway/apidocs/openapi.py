"""The OpenAPI 3.1 document: FastAPI's, completed with what our routes declare in their own ways.

Who may do what comes from each route's `Requirement`, the schemas of bodies from `gateway.web.requests`, and the
headers of a write's answers from the headers that it takes. So a route declares everything once, and the document
always agrees.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic.json_schema import models_json_schema

from domain.roles import SCOPES_OF_ROLE
from gateway.apidocs import problem_members
from gateway.apidocs.deliveries import deliveries
from gateway.apidocs.event_schemas import any_event, event_kinds, event_schemas
from gateway.apidocs.glossary import explain, meaning
from gateway.apidocs.responses import HEADERS, InvalidPartView, ProblemView, limit, problems
from gateway.identity.caller import NOBODY_ROLE
from gateway.identity.requirements import Requirement, is_limited
from gateway.web.requests import body_schemas
from gateway.web.structs import struct_schemas

_SUMMARY: Final = "Commands go in and are durable at 202; every effect is an event in one gapless log."

_DESCRIPTION: Final = """\
A write is answered with `202 Accepted` once it is durable, and with its outcome if the request says
`Prefer: wait=N` (RFC 7240). An `Idempotency-Key` makes it safe to repeat. Every error is a problem document (RFC 9457)
whose `code` is stable; each operation lists the codes it may return.

Sign in at `/api/auth/token` (the Authorize button does), or send an API key, as `Authorization: Bearer ...`.
Roles include those before them: nobody, guest, customer, staff, admin.
"""

TAGS: Final[Mapping[str, str]] = {
    "auth": "Signing in, staying signed in, signing out (OAuth2 password flow).",
    "accounts": "Your own profile and password; for admins, all accounts.",
    "customers": "Customers' groups, tax ids and tax exemptions.",
    "keys": "API keys for machines: shown once, scoped, revocable.",
    "products": "The catalogue: products and their variants, each a SKU with a price.",
    "prices": "Prices of SKUs on price lists and in other currencies.",
    "categories": "The tree of categories.",
    "orders": "Place, confirm, cancel and fulfil orders; nothing is ever oversold.",
    "checkouts": "Carts, with their cost and what is still missing; each becomes one order.",
    "terms": "The shop's taxes, deliveries, promotions, price lists and purchase limits.",
    "inventory": "The stock of each SKU: on hand, reserved and available.",
    "imports": "Catalogue and stock from CSV (also other shops' exports) or JSON Lines, with each row's outcome.",
    "exports": "Catalogue and orders as CSV, streamed.",
    "reports": "Sales by day, SKU, category or customer, as a job with a result that expires.",
    "webhooks": "Endpoints that receive events: CloudEvents, signed as in Standard Webhooks.",
    "payments": "Payments by buyers, and their captures, voids and refunds; webhooks of payment providers.",
    "cards": "Gift cards and store credit: prepaid money that pays for orders.",
    "tasks": "Work outside the log that events lead to; retrying tasks that failed too often.",
    "commands": "The outcome of each accepted command, and the dead letters.",
    "events": "The log: every effect, once, in order, without gaps.",
    "health": "For operators: liveness, readiness, metrics.",
}

SCOPES: Final[Mapping[str, str]] = {
    "orders:read": "See orders.",
    "orders:write": "Place and cancel orders.",
    "profile:write": "Change your own profile and password, and erase your account.",
    "catalogue:read": "See drafts and archived products.",
    "inventory:read": "See everyone's stock movements.",
    "inventory:write": "Receive and adjust stock.",
    "events:read": "Read the event log.",
    "reports:write": "Request and read reports.",
    "exports:read": "Export catalogue and orders.",
    "webhooks:write": "Manage webhook endpoints.",
    "tasks:write": "See tasks, and retry dead ones.",
    "metrics:read": "Scrape metrics.",
    "catalogue:write": "Change products and categories.",
    "imports:write": "Import products and stock.",
    "users:write": "Manage accounts.",
    "keys:write": "Manage API keys.",
}

_OAUTH2: Final = "oauth2"
_BEARER: Final = "bearer"
_SCHEMA: Final = "#/components/schemas/{model}"
_LICENSE: Final = {"name": "MIT", "url": "https://spdx.org/licenses/MIT.html"}
_CONTACT: Final = {"name": "The operator of this gateway"}
_SERVERS: Final = [{"url": "/", "description": "The gateway that serves this document."}]
VALUES: Final = frozenset({"default", "example", "examples", "enum", "const"})
"""Members that hold values, not schemas."""

_SUCCESSES: Final = ("200", "201", "202")


def document(app: FastAPI) -> dict[str, Any]:
    """The document of the app's routes; generated on first use."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, summary=_SUMMARY, description=_DESCRIPTION, routes=app.routes
        )
        operations = [operation for item in made["paths"].values() for operation in item.values()]
        used = {tag for operation in operations for tag in operation.get("tags", ())}
        made["tags"] = [{"name": tag, "description": text} for tag, text in TAGS.items() if tag in used]
        made["info"] |= {"license": _LICENSE, "contact": _CONTACT}
        made["servers"] = _SERVERS
        components = made.setdefault("components", {})
        components["securitySchemes"] = _security_schemes()
        schemas = components.setdefault("schemas", {})
        schemas.update(body_schemas(), **_problem_schemas(), **struct_schemas())
        _describe_events(made, schemas)
        for name, schema in schemas.items():
            explain(name, schema)
        for route, operation in _operations(app, made):
            _say_who_may(operation, _requirement(route.dependant))
            _name_headers(operation)
            _explain_parameters(operation)
            operation["responses"].setdefault("422", problems(422)[422])  # any query may have an unknown part
            if is_limited(route.dependant):
                limit(operation["responses"])
        _leave_out_null_defaults(made)
        app.openapi_schema = made
    return app.openapi_schema


def _operations(app: FastAPI, made: dict[str, Any]) -> Iterator[tuple[APIRoute, dict[str, Any]]]:
    """Each documented route with its operation in the document."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in context.methods or ():
                yield route, made["paths"][context.path_format][method.lower()]


def _requirement(dependant: Dependant) -> Requirement | None:
    """What a route requires of its caller; searches all levels of its dependencies."""
    if isinstance(dependant.call, Requirement):
        return dependant.call
    found = (_requirement(dependency) for dependency in dependant.dependencies)
    return next((requirement for requirement in found if requirement is not None), None)


def _say_who_may(operation: dict[str, Any], requirement: Requirement | None) -> None:
    if requirement is None:
        operation["security"] = []
        return
    scopes = [] if requirement.scope is None else [requirement.scope]
    tokens: list[dict[str, list[str]]] = [{_OAUTH2: scopes}, {_BEARER: []}]
    needed = f"Needs the role `{requirement.role}`" + "".join(f" and the scope `{scope}`" for scope in scopes) + "."
    if requirement.role == NOBODY_ROLE:
        # In OpenAPI, an empty requirement says that the token is optional.
        tokens.append({})
        needed = "Needs no token."
    operation["security"] = tokens
    operation["description"] = f"{operation.get('description', '')}\n\n{needed}".lstrip()


def _name_headers(operation: dict[str, Any]) -> None:
    """Adds the response headers that follow from the request headers that the operation takes, or from a status."""
    taken = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "header"}
    for status in _SUCCESSES:
        response = operation["responses"].get(status)
        if response is None:
            continue
        names: list[str] = []
        if "Prefer" in taken and status != "202":
            names += ("Preference-Applied", "Tidegate-Seq", "Tidegate-Command")
        if "Idempotency-Key" in taken:
            names.append("Idempotency-Replayed")
        if status == "201":
            names.append("Location")
        for name in names:
            response.setdefault("headers", {}).setdefault(name, HEADERS[name])


def _explain_parameters(operation: dict[str, Any]) -> None:
    """Adds the meaning of each parameter that the route does not describe itself."""
    for parameter in operation.get("parameters", ()):
        said = parameter.get("description") or meaning(parameter["name"], operation["operationId"])
        if said:
            parameter["description"] = said


def _describe_events(made: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Adds the events' own schemas: for the log, for an order's history, and for deliveries to webhooks."""
    events = event_schemas()
    assert not events.keys() & schemas.keys(), f"two schemas of one name: {events.keys() & schemas.keys()}"
    schemas.update(events)
    schemas["EventView"] = any_event("An event of the log, in CloudEvents 1.0 form.")
    of_orders = [kind.__name__ for kind in event_kinds() if kind.type.startswith("order.")]
    schemas["HappeningView"]["properties"]["data"] = {
        "anyOf": [{"$ref": _SCHEMA.format(model=name)} for name in of_orders]
    }
    made["webhooks"] = deliveries()


def _leave_out_null_defaults(part: Any) -> None:
    """Removes `"default": null` from every schema. Leaving a property out of `required` is enough to make it optional;
    with a default, client generators send null when the caller left it out."""
    if isinstance(part, dict):
        if part.get("default", ...) is None:
            del part["default"]
        for name, value in part.items():
            if name not in VALUES:
                _leave_out_null_defaults(value)
    elif isinstance(part, list):
        for value in part:
            _leave_out_null_defaults(value)


def _security_schemes() -> dict[str, Any]:
    scopes = sorted(frozenset().union(*SCOPES_OF_ROLE.values()))
    return {
        _OAUTH2: {
            "type": "oauth2",
            "description": "Sign in with e-mail address and password; client id and secret stay empty.",
            "flows": {
                "password": {"tokenUrl": "/api/auth/token", "scopes": {scope: SCOPES[scope] for scope in scopes}}
            },
        },
        _BEARER: {
            "type": "http",
            "scheme": "bearer",
            "description": "An access token, the link token of a guest's order, or an API key.",
        },
    }


def _problem_schemas() -> dict[str, Any]:
    models = (ProblemView, InvalidPartView)
    schemas: dict[str, Any] = models_json_schema([(model, "validation") for model in models], ref_template=_SCHEMA)[1][
        "$defs"
    ]
    schemas[ProblemView.__name__]["properties"] |= problem_members.properties()
    return schemas
