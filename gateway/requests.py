"""Reading requests: the body within its bound and schema, and the headers that change how a write answers."""

import re
from typing import Any, Final, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.requests import ClientDisconnect

from domain.limits import IDEMPOTENCY_KEY_MAX_CHARS
from gateway.problems import Problem, invalid_request

_JSON: Final = "application/json"
_SCHEMA: Final = "#/components/schemas/{model}"
_KEY = re.compile(rf"^[\x21-\x7e]{{1,{IDEMPOTENCY_KEY_MAX_CHARS}}}$")
_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=[,;]|$)", re.IGNORECASE)


class Body(BaseModel):
    """A request body: types as JSON says them (no "2" for 2), and no field we do not know."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


_B = TypeVar("_B", bound=Body)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body's bytes. Raises a 415 or 413 Problem without reading more than `max_bytes`, and a 400 Problem, which
    hardly anyone will read, if the client went before it had sent everything."""
    headers = request.headers
    content_type = headers.get("content-type", "")
    if content_type != _JSON and content_type.partition(";")[0].strip().lower() != _JSON:
        raise Problem("unsupported_media_type", f"Send {_JSON}.", headers={"Accept": _JSON})
    length = headers.get("content-length")
    if length is not None and length.isdecimal() and int(length) > max_bytes:
        raise _too_large(max_bytes)
    body = b""
    try:
        async for chunk in request.stream():
            body = body + chunk if body else chunk
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
    except ClientDisconnect:
        raise Problem("incomplete_body", "The body ended before it was whole.") from None
    return body


def parse(model: type[_B], body: bytes) -> _B:
    """The body as `model`. Raises a 400 Problem for what is no JSON, 422 for what does not fit."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        if errors[0]["type"] == "json_invalid":
            raise Problem("malformed_json", errors[0]["msg"]) from None
        raise invalid_request(errors) from None


def _too_large(max_bytes: int) -> Problem:
    # The rest of the body is not read, so the connection cannot be used again.
    return Problem("body_too_large", f"A body has at most {max_bytes} bytes.", headers={"Connection": "close"})


def idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key header (IETF draft: a quoted string; the quotes may be left out)."""
    header = request.headers.get("idempotency-key")
    if header is None:
        return None
    key = header.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not _KEY.match(key):
        raise Problem(
            "invalid_idempotency_key",
            f"An idempotency key has 1 to {IDEMPOTENCY_KEY_MAX_CHARS} visible ASCII characters.",
        )
    return key


def preferred_wait(request: Request) -> int | None:
    """Seconds of `Prefer: wait=N` (RFC 7240), or None. What cannot be understood is ignored, as the RFC says."""
    prefer = request.headers.get("prefer")
    if prefer is None:
        return None
    found = _WAIT.search(", ".join(request.headers.getlist("prefer")))
    return int(found[1]) if found else None


def body_schema(model: type[Body]) -> dict[str, Any]:
    """What OpenAPI says of a body that the route reads itself. FastAPI's own reading costs more than all of ours."""
    schema = {"$ref": _SCHEMA.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {_JSON: {"schema": schema}}}}


def body_schemas() -> dict[str, Any]:
    """The schemas of all bodies by name, for the components of the OpenAPI document."""
    bodies: list[tuple[type[Body], JsonSchemaMode]] = [(model, "validation") for model in Body.__subclasses__()]
    schemas: dict[str, Any] = models_json_schema(bodies, ref_template=_SCHEMA)[1]["$defs"]
    return schemas
