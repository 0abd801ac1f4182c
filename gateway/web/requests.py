"""Reads requests: the body, within its bound and schema, and the headers that change how a write is answered."""

import re
from collections.abc import Iterator
from typing import Any, Final, TypeVar

import msgspec
from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from pydantic_core import from_json

from domain.limits import IDEMPOTENCY_KEY_MAX_CHARS
from gateway.web.headers import header
from gateway.web.problems import Problem, invalid_request
from gateway.web.wording import unfit

_JSON: Final = "application/json"
_NUL: Final = rb"\u0000"
_SCHEMA: Final = "#/components/schemas/{model}"
_PLACE = re.compile(r"line (\d+) column (\d+)")
_KEY = re.compile(rf"^[\x21-\x7e]{{1,{IDEMPOTENCY_KEY_MAX_CHARS}}}$")
_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=[,;]|$)", re.IGNORECASE)
_ASYNC = re.compile(r"(?:^|,)\s*respond-async\s*(?=[,;]|$)", re.IGNORECASE)


class Body(BaseModel):
    """A request body: types as JSON says them (no "2" for 2), and no field we do not know."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


_B = TypeVar("_B", bound=Body)


async def read_body(request: Request, max_bytes: int, media_type: str = _JSON) -> bytes:
    """The body's bytes. Raises a 415 or 413 Problem without reading more than `max_bytes`, and a 400 Problem if the
    client left before it had sent everything."""
    content_type = header(request, b"content-type") or ""
    if content_type != media_type and content_type.partition(";")[0].strip().lower() != media_type:
        raise Problem("unsupported_media_type", f"Send {media_type}.", headers={"Accept": media_type})
    length = header(request, b"content-length")
    if length is not None and length.isdecimal() and int(length) > max_bytes:
        raise _too_large(max_bytes)
    chunks: list[bytes] = []
    size = 0
    while True:  # not `request.stream()`: an async generator costs more than parsing the JSON
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise Problem("incomplete_body", "The client disconnected before the body was complete.")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body", False):
            return b"".join(chunks)


def parse(model: type[_B], body: bytes) -> _B:
    """The body as `model`. Raises a 400 Problem if it is not JSON, 422 if it does not fit or has NUL in text."""
    try:
        parsed = model.model_validate_json(body)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        if errors[0]["type"] == "json_invalid":
            raise Problem("malformed_json", _not_json(str(errors[0]["ctx"]["error"]))) from None
        raise invalid_request(unfit(errors)) from None
    if _NUL in body:
        _refuse_nul(from_json(body))
    return parsed


def parse_json(body: bytes) -> Any:
    """The body's JSON, whatever its content. Raises a 400 Problem if it is not JSON, and 422 for NUL in text."""
    try:
        said = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Problem("malformed_json", _not_json(str(error))) from None
    if _NUL in body:
        _refuse_nul(said)
    return said


def _refuse_nul(said: Any) -> None:
    if places := list(_places_of_nul(said, ())):
        told = {"msg": "This contains the control character U+0000.", "type": "control_character"}
        raise invalid_request({"loc": place, **told} for place in places)


def _not_json(said: str) -> str:
    """Why a body is not JSON, from the parser's message: where it stopped, and mistakes that are hard to see."""
    found = _PLACE.search(said)
    place = f" (line {found[1]}, column {found[2]})" if found else ""
    if "hex escape" in said:
        return f"The body is not valid JSON: an escape is cut short, or half of a surrogate pair{place}."
    if "unicode" in said:
        return f"The body is not valid JSON: it is not UTF-8{place}."
    return f"The body is not valid JSON{place}."


def _places_of_nul(part: Any, place: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """The places in decoded JSON where text contains NUL, which Postgres cannot store."""
    if isinstance(part, str):
        if "\0" in part:
            yield place
    elif isinstance(part, list):
        for index, item in enumerate(part):
            yield from _places_of_nul(item, (*place, index))
    elif isinstance(part, dict):
        for name, value in part.items():
            yield from _places_of_nul(name, (*place, name))
            yield from _places_of_nul(value, (*place, name))


def _too_large(max_bytes: int) -> Problem:
    # The rest of the body is not read, so the connection cannot be used again.
    return Problem("body_too_large", f"A body may have at most {max_bytes} bytes.", headers={"Connection": "close"})


def idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key header (IETF draft: a quoted string; the quotes may be left out)."""
    sent = header(request, b"idempotency-key")
    if sent is None:
        return None
    key = sent.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not _KEY.match(key):
        raise Problem(
            "invalid_idempotency_key",
            f"An idempotency key has 1 to {IDEMPOTENCY_KEY_MAX_CHARS} visible ASCII characters.",
        )
    return key


def preferred_wait(request: Request) -> int | None:
    """The seconds of `Prefer: wait=N` (RFC 7240), 0 for `respond-async` alone, or None. Unknown preferences are
    ignored, as the RFC requires."""
    if header(request, b"prefer") is None:
        return None
    prefer = ", ".join(request.headers.getlist("prefer"))
    found = _WAIT.search(prefer)
    if found:
        return int(found[1])
    return 0 if _ASYNC.search(prefer) else None


def canonical(body: bytes) -> bytes:
    """The canonical form by which requests are compared: JSON regardless of white space and the order of members
    (RFC 8785, as far as numbers in bodies are concerned); anything else unchanged."""
    try:
        return msgspec.json.encode(msgspec.json.decode(body), order="deterministic")
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return body


def body_schema(model: type[Body], media_type: str = _JSON) -> dict[str, Any]:
    """The OpenAPI description of a body that the route reads itself, because FastAPI's reading costs more than all of
    ours."""
    schema = {"$ref": _SCHEMA.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}


def _bodies(of: type[Body] = Body) -> list[type[Body]]:
    """The bodies of our operations, without those that a test may define."""
    ours = [model for model in of.__subclasses__() if model.__module__.startswith("gateway.")]
    return [*ours, *(each for model in ours for each in _bodies(model))]


def body_schemas() -> dict[str, Any]:
    """The schemas of all bodies by name, for the components of the OpenAPI document."""
    bodies: list[tuple[type[Body], JsonSchemaMode]] = [(model, "validation") for model in _bodies()]
    schemas: dict[str, Any] = models_json_schema(bodies, ref_template=_SCHEMA)[1]["$defs"]
    return schemas
