"""The parts of the OpenAPI document for responses that routes share: accepted commands, headers, and problems with
their codes.

A route names the statuses and codes that it can return (`responses=write("insufficient_stock")`); each code becomes a
named example of its response, and `make fuzz` checks every response against them. `gateway.apidocs.openapi` assembles
the document.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from domain.limits import IDEMPOTENCY_KEY_MAX_CHARS
from gateway.apidocs.problem_members import example
from gateway.web.problems import MEDIA_TYPE, STATUS_OF_CODE, TITLES, Problem


class AcceptedView(BaseModel):
    """A durable command: the id of what it creates or changes, and where to ask for its outcome."""

    id: str
    command_id: str
    status_url: str
    guest_token: str | None = None


class InvalidPartView(BaseModel):
    """A part of a request that does not match its schema: where (JSON Pointer, RFC 6901) and why."""

    pointer: str
    detail: str
    type: str


class ProblemView(BaseModel):
    """RFC 9457 problem details. `code` is stable; further members depend on it."""

    type: str
    title: str
    status: int
    detail: str
    code: str


Responses = dict[int | str, dict[str, Any]]

HEADERS: Final[Mapping[str, dict[str, Any]]] = {
    name: {"description": description, "schema": schema}
    for name, description, schema in (
        (
            "Location",
            "The URL of what was created, or of the command.",
            {"type": "string", "format": "uri-reference"},
        ),
        ("ETag", "The version returned, for If-Match and If-None-Match (RFC 9110).", {"type": "string"}),
        ("X-Total-Count", "The number of items on all pages.", {"type": "integer", "minimum": 0}),
        ("Link", "The neighbouring pages (RFC 8288).", {"type": "string"}),
        ("Preference-Applied", "`wait=N`, if the request waited for the outcome (RFC 7240).", {"type": "string"}),
        (
            "Tidegate-Seq",
            "The seq of the write's first event, once known; all its events are visible from then on.",
            {"type": "integer"},
        ),
        ("Tidegate-Command", "The write's command, if the request waited for it.", {"type": "string"}),
        ("Idempotency-Replayed", "`true` if this repeats the response to an earlier request.", {"type": "string"}),
        ("Content-Disposition", "The file name to save it under (RFC 6266).", {"type": "string"}),
        ("Retry-After", "In how many seconds to try again.", {"type": "integer", "minimum": 0}),
        (
            "RateLimit",
            "By quota: requests left (r), and seconds until the quota is full again or, in a refusal, until the next"
            " request may be tried (t). IETF draft.",
            {"type": "string", "examples": ['"writes-by-address";r=9998;t=1, "writes";r=4999;t=1']},
        ),
        (
            "RateLimit-Policy",
            "The quotas that apply: requests at once (q), and in how many seconds as many come in again (w). IETF"
            " draft.",
            {"type": "string", "examples": ['"writes-by-address";q=10000;w=10, "writes";q=5000;w=10']},
        ),
        ("WWW-Authenticate", "How to authenticate (RFC 6750).", {"type": "string"}),
        ("Accept", "The accepted media types.", {"type": "string"}),
    )
}
"""The headers of responses, in OpenAPI's form."""

_HEADERS_OF_STATUS: Final = {
    401: ("WWW-Authenticate",),
    415: ("Accept",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}

_CODES_ANYWHERE: Final[Mapping[int, tuple[str, ...]]] = {
    400: ("malformed_json", "incomplete_body", "invalid_idempotency_key"),
    401: ("unauthenticated", "invalid_token"),
    403: ("forbidden",),
    404: ("not_found",),
    413: ("body_too_large",),
    415: ("unsupported_media_type",),
    422: ("invalid_request",),
    431: ("head_too_large",),
    500: ("internal_error", "command_failed"),
    503: ("database_unavailable",),
}
"""The descriptions of statuses, the same for all routes; a route adds codes of its own."""

_OF_WRITES: Final = ("idempotency_key_reused", "mailbox_full", "gateway_busy", "mailboxes_unavailable")


def headers(*names: str) -> dict[str, Any]:
    """The part of a response that names its headers."""
    return {"headers": {name: HEADERS[name] for name in names}}


def problems(*said: int | str) -> Responses:
    """The problem responses of a route, by code; a status stands for the codes that it always may have."""
    codes: defaultdict[int, list[str]] = defaultdict(list)
    for one in said:
        if isinstance(one, int):
            codes[one] += _CODES_ANYWHERE.get(one, ())
        else:
            codes[STATUS_OF_CODE[one]].append(one)
    return {status: _problem(codes[status], status) for status in sorted(codes)}


def read(*said: int | str) -> Responses:
    """The problem responses of a read, with codes of its own."""
    return problems(401, 403, 404, 422, 503, *said)


def write(*said: int | str) -> Responses:
    """The responses of a write other than its success: accepted, or a problem, with codes of its own."""
    accepted = {
        "model": AcceptedView,
        "description": "Accepted: durable, and applied soon.",
        **headers("Location"),
    }
    return {202: accepted, **problems(400, 401, 403, 404, 409, 413, 415, 422, 500, 503, *_OF_WRITES, *said)}


def _problem(codes: list[str], status: int) -> dict[str, Any]:
    codes = list(dict.fromkeys(codes))
    content: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/ProblemView"}}
    if codes:
        content["examples"] = {
            code: {"value": Problem(code, f"{TITLES[code]}.", extensions=example(code)).document()} for code in codes
        }
    return {
        "description": f"A problem: {', '.join(f'`{code}`' for code in codes) or 'see its `code`'}.",
        "content": {MEDIA_TYPE: content},
        **headers(*_HEADERS_OF_STATUS.get(status, ())),
    }


def limit(responses: Responses) -> None:
    """Adds the rate limit headers and the 429 response to those of a limited route."""
    (refusal,) = problems("too_many_requests").values()
    said = responses.setdefault("429", refusal)
    if said is not refusal:
        said["description"] = f"{said['description'].removesuffix('.')}, `too_many_requests`."
        said["content"][MEDIA_TYPE]["examples"] |= refusal["content"][MEDIA_TYPE]["examples"]
    for response in responses.values():
        response["headers"] = {**response.get("headers", {}), **headers("RateLimit", "RateLimit-Policy")["headers"]}


READ: Final = read()

WRITE_HEADERS: Final[list[dict[str, Any]]] = [
    {
        "name": "Prefer",
        "in": "header",
        "description": "`wait=N`: wait up to N seconds for the outcome; `respond-async`: do not wait (RFC 7240).",
        "schema": {"type": "string", "examples": ["wait=5"]},
    },
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A repeated request with the same key and body gets the same response as the first.",
        "schema": {"type": "string", "pattern": f"^[!-~]{{1,{IDEMPOTENCY_KEY_MAX_CHARS}}}$"},
    },
]

IF_MATCH: Final[dict[str, Any]] = {
    "name": "If-Match",
    "in": "header",
    "description": "The ETag of what to change: 412 `version_conflict` if it has changed since. Without it, the last"
    " writer wins.",
    "schema": {"type": "string", "examples": ['"3"']},
}

IF_NONE_MATCH: Final[dict[str, Any]] = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag of the client's copy: 304 if it is still current.",
    "schema": {"type": "string", "examples": ['"3"']},
}

IF_SEQ_AT_LEAST: Final[dict[str, Any]] = {
    "name": "If-Seq-At-Least",
    "in": "header",
    "description": "The `Tidegate-Seq` of a write that the response must reflect, whichever server answers: 412"
    " `seq_not_reached` if the log has not got that far.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1, "examples": [1041]},
}

NOT_MODIFIED: Final[Responses] = {304: {"description": "The client's copy is current.", **headers("ETag")}}
