"""What OpenAPI says of answers that all routes share."""

from typing import Any, Final

from fastapi import Request
from pydantic import BaseModel

from gateway.edge import Edge
from gateway.problems import MEDIA_TYPE


class AcceptedView(BaseModel):
    """A durable command: the id of what it is about or will create, and where to ask what became of it."""

    id: str
    command_id: str
    status_url: str


class ProblemView(BaseModel):
    """RFC 9457 problem details. `code` is stable; further members depend on it."""

    type: str
    title: str
    status: int
    detail: str
    code: str


Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Responses:
    """The problem answers of a route."""
    schema = {"$ref": "#/components/schemas/ProblemView"}
    return {
        status: {"description": "A problem; see `code`.", "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


READ: Final[Responses] = problems(401, 403, 404, 422, 503)
WRITE: Final[Responses] = {
    202: {"model": AcceptedView, "description": "Accepted: durable, and applied soon."},
    **problems(400, 401, 403, 404, 409, 413, 415, 422, 500, 503),
}

WRITE_HEADERS: Final[list[dict[str, Any]]] = [
    {
        "name": "Prefer",
        "in": "header",
        "description": "`wait=N`: wait up to N seconds for the outcome (RFC 7240).",
        "schema": {"type": "string", "examples": ["wait=5"]},
    },
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A repetition with the same key and body is answered as the first was.",
        "schema": {"type": "string", "maxLength": 202},
    },
]


def edge_of(request: Request) -> Edge:
    """The parts of this process."""
    edge: Edge = request.app.state.edge
    return edge
