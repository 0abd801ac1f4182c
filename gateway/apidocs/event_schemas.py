"""The events as JSON Schema, generated from their structs: for each type its `data`, and the CloudEvent around it.

OpenAPI (the log, the webhooks) and AsyncAPI (the feed) show the same ones.
"""

from __future__ import annotations

import inspect
from typing import Any, Final

import msgspec

from domain.model import EVENTS, Event, Private, private_fields
from gateway.apidocs.glossary import explain
from runtime.records import CloudEvent

_SCHEMA: Final = "#/components/schemas/{name}"
_HIDDEN: Final = {"type": "null", "description": "Null: the log contains nothing private."}


def event_kinds() -> list[type[Event]]:
    """Every type of event, sorted by name."""
    return [EVENTS[name] for name in sorted(EVENTS)]


def event_name(kind: type[Event]) -> str:
    """The name of the CloudEvent's schema; that of its data has the struct's own name."""
    return f"{kind.__name__}Event"


def event_schemas() -> dict[str, Any]:
    """The schemas by name: data and CloudEvent of each type, and the schemas that they refer to."""
    _, schemas = msgspec.json.schema_components([CloudEvent, *event_kinds()], schema_hook=_hidden, ref_template=_SCHEMA)
    around = schemas.pop(CloudEvent.__name__)
    explain(CloudEvent.__name__, around)
    for kind in event_kinds():
        schema = schemas[kind.__name__]
        schema["description"] = (kind.__doc__ and inspect.getdoc(kind)) or f"What `{kind.type}` says."
        schema["properties"] |= {name: dict(_HIDDEN) for name in private_fields(kind)}
        explain(kind.type, schema)
    for name, schema in schemas.items():
        explain(name, schema)
    return schemas | {event_name(kind): _cloud_event(kind, around) for kind in event_kinds()}


def any_event(description: str) -> dict[str, Any]:
    """The schema of an event of any type, told apart by `type`."""
    mapping = {kind.type: _SCHEMA.format(name=event_name(kind)) for kind in event_kinds()}
    return {
        "description": description,
        "oneOf": [{"$ref": reference} for reference in mapping.values()],
        "discriminator": {"propertyName": "type", "mapping": mapping},
    }


def _cloud_event(kind: type[Event], around: dict[str, Any]) -> dict[str, Any]:
    """The CloudEvent of one type. Every member is always sent."""
    properties = {
        **around["properties"],
        "type": {**around["properties"]["type"], "const": kind.type},
        "data": {"$ref": _SCHEMA.format(name=kind.__name__), "description": f"What `{kind.type}` says."},
    }
    return {
        "title": event_name(kind),
        "description": f"`{kind.type}` as a CloudEvent (1.0); `seq` is its place in the log.",
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
    }


def _hidden(kind: type) -> dict[str, Any]:
    """The schema of a private field, which is null in the log."""
    assert issubclass(kind, Private), f"{kind} has no place in an event"
    return dict(_HIDDEN)
