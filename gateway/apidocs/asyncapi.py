"""`/api/asyncapi.json`: the feed as an AsyncAPI 3.0 document, generated from the messages themselves."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from gateway.apidocs.event_schemas import any_event, event_schemas
from gateway.apidocs.glossary import explain
from gateway.realtime import messages
from gateway.server.closing import MEANINGS

ASYNCAPI_PATH: Final = "/api/asyncapi.json"
_SCHEMAS: Final = "#/components/schemas/{name}"
_SAID: Final = (messages.Authenticate, messages.Subscribe, messages.Unsubscribe, messages.Ping)
_TOPICS: Final = {
    "log": "Every event. Staff.",
    "orders": "All orders. Staff.",
    "orders/{id}": "One order. Staff, and the customer who placed it.",
    "inventory": "Everything that changes stock: `stock.*`, and orders. Staff.",
    "inventory/{sku}": "Everything that changes the stock of one SKU. Staff.",
    "catalogue": "Products and categories; inactive ones need the scope `catalogue:read`.",
    "me": "Everything about the caller: orders, account, sessions, refused commands.",
    "stats": "Live aggregates, each second. Staff. Not on event streams.",
}


def install(app: FastAPI) -> None:
    """Serves the document."""

    async def document(request: Request) -> Response:
        return JSONResponse(asyncapi(app.version))

    app.add_api_route(ASYNCAPI_PATH, document, include_in_schema=False)


@lru_cache(maxsize=1)
def asyncapi(version: str) -> dict[str, Any]:
    """The document."""
    schemas = _schemas()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tidegate feed",
            "version": version,
            "description": _description(),
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "feed": {
                "address": "/ws",
                "title": "The feed, by subscription",
                "bindings": {"ws": {"method": "GET", "query": _query(token=True, topics=True, after=True, log=True)}},
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _names()},
            },
            "notifications": {
                "address": "/ws/notifications",
                "title": "What concerns the caller, without a subscription protocol",
                "bindings": {"ws": {"method": "GET", "query": _query(token=True, after=True, log=True)}},
                "messages": {"CloudEvents": {"$ref": "#/components/messages/CloudEvents"}},
            },
        },
        "operations": {
            "say": _operation("receive", "feed", [kind.__name__ for kind in _SAID], "Messages from the client."),
            "tell": _operation("send", "feed", [kind.__name__ for kind in messages.TOLD], "Messages to the client."),
            "notify": _operation("send", "notifications", ["CloudEvents"], "Each frame: some events, in order."),
        },
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "messages": {
                **{name: _message(name, {"$ref": _SCHEMAS.format(name=name)}, said) for name, said in _said().items()},
                "CloudEvents": _message(
                    "CloudEvents",
                    {"type": "array", "minItems": 1, "items": {"$ref": _SCHEMAS.format(name="CloudEvent")}},
                    "Some events, in order.",
                ),
            },
            "schemas": schemas,
        },
    }


def _said() -> dict[str, str]:
    return {kind.__name__: inspect.getdoc(kind) or "" for kind in (*_SAID, *messages.TOLD)}


def _names() -> list[str]:
    return list(_said())


def _message(name: str, payload: dict[str, Any], said: str) -> dict[str, Any]:
    return {"name": name, "title": name, "summary": " ".join(said.split()), "payload": payload}


def _operation(action: str, channel: str, names: list[str], summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": f"#/channels/{channel}"},
        "security": [{"$ref": "#/components/securitySchemes/bearer"}],
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names],
    }


def _query(**wanted: bool) -> dict[str, Any]:
    said = {
        "token": "A bearer token, for clients that cannot send a header; it may also come in the first message.",
        "topics": "Topics of a first subscription, joined with commas.",
        "after": "The seq after which to start; without it, from now on.",
        "log": "The log that the seq belongs to; the client is told if it has been replaced.",
    }
    kinds = {"token": "string", "topics": "string", "after": "integer", "log": "string"}
    properties = {name: {"type": kinds[name], "description": said[name]} for name in wanted}
    return {"type": "object", "properties": properties}


def _schemas() -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components((*_SAID, *messages.TOLD), ref_template=_SCHEMAS)
    events = event_schemas()
    assert not events.keys() & schemas.keys(), f"two schemas of one name: {events.keys() & schemas.keys()}"
    schemas |= events
    schemas["CloudEvent"] = any_event("An event, in CloudEvents 1.0 form.")
    schemas["Events"]["properties"]["events"] = {
        "type": "array",
        "minItems": 1,
        "items": {"$ref": _SCHEMAS.format(name="CloudEvent")},
    }
    for name, schema in schemas.items():
        explain(name, schema)
    _name_discriminators(schemas)
    return schemas


def _name_discriminators(part: Any) -> None:
    """AsyncAPI's discriminator is the bare name of a member, OpenAPI's an object."""
    if isinstance(part, dict):
        if isinstance(said := part.get("discriminator"), dict) and "propertyName" in said:
            part["discriminator"] = said["propertyName"]
        for value in part.values():
            _name_discriminators(value)
    elif isinstance(part, list):
        for value in part:
            _name_discriminators(value)


def _description() -> str:
    topics = "\n".join(f"- `{topic}`: {said}" for topic, said in _TOPICS.items())
    codes = "\n".join(f"- {code}: {said}" for code, said in MEANINGS.items())
    return (
        "Every subscriber gets the part of the event log that it may see: each event once, in order, resumable from "
        "any `seq`. Events are CloudEvents 1.0.\n\nThe token goes in the Authorization header, in `?token=`, or in the "
        f"first message.\n\nTopics:\n\n{topics}\n\nA socket is closed with one of these codes:\n\n{codes}\n"
    )
