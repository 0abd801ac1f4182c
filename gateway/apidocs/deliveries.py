"""OpenAPI's `webhooks`: the requests that Tidegate sends, one for each type of event, and what responses to them
mean."""

from typing import Any, Final

from domain.model import Event
from gateway.apidocs.event_schemas import event_kinds, event_name
from runtime.standard_webhooks import ID_HEADER, MEDIA_TYPE, SIGNATURE_HEADER, TIMESTAMP_HEADER

_HEADERS: Final = [
    {"name": name, "in": "header", "required": True, "description": description, "schema": schema}
    for name, description, schema in (
        (
            ID_HEADER,
            "The same for every delivery of this event to this endpoint: use it to recognise duplicates.",
            {"type": "string", "examples": ["msg_01a203dcfb6e7f19b198be458dd22687_7"]},
        ),
        (TIMESTAMP_HEADER, "The time of sending, in seconds of Unix time.", {"type": "string", "pattern": "^[0-9]+$"}),
        (
            SIGNATURE_HEADER,
            "As in Standard Webhooks, for each valid secret: `v1,` and a base64 HMAC-SHA256 of id, timestamp and body"
            " joined with dots; several are separated by spaces.",
            {"type": "string", "pattern": "^v1,[A-Za-z0-9+/=]+( v1,[A-Za-z0-9+/=]+)*$"},
        ),
        (
            "traceparent",
            "W3C Trace Context: the delivery's own trace if this installation sends traces; otherwise one that is"
            " shared by everything that follows from a command, and not sampled.",
            {"type": "string", "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"},
        ),
    )
]
_ANSWERS: Final = {
    "2XX": {"description": "Accepted: the next event is delivered. The response body is not read."},
    "410": {"description": "Gone: the endpoint is disabled."},
    "4XX": {
        "description": "Refused: retried later, like every status other than 2xx. `Retry-After` is honoured with 429."
    },
    "5XX": {"description": "Failed: retried later. `Retry-After` is honoured with 503."},
}


def deliveries() -> dict[str, Any]:
    """The requests by type of event."""
    return {kind.type: {"post": _delivery(kind)} for kind in event_kinds()}


def _delivery(kind: type[Event]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{event_name(kind)}"}
    return {
        "operationId": f"on_{kind.type.replace('.', '_')}",
        "summary": f"Delivers {kind.type}",
        "description": "To every active endpoint registered for events of this type, in the order of the log.",
        "tags": ["webhooks"],
        "security": [],
        "parameters": _HEADERS,
        "requestBody": {"required": True, "content": {MEDIA_TYPE.partition(";")[0]: {"schema": schema}}},
        "responses": _ANSWERS,
    }
