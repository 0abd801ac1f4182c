"""Bodies whose schema is one of the domain's structs: parsed and documented from the struct itself, without a second
model."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from domain.fields.core import (
    MISSING,
    NOT_BOOLEAN,
    NOT_OBJECT,
    NOT_TEXT,
    NOT_WHOLE,
    UNKNOWN,
    too_large,
    too_many,
    too_small,
)
from gateway.web.problems import invalid_request
from gateway.web.requests import parse_json
from gateway.web.wording import ANY_OTHER, NOT_LIST, NOT_UUID, WRONG_PATTERN

_S = TypeVar("_S", bound=msgspec.Struct)

_SCHEMA: Final = "#/components/schemas/{name}"
_WHERE: Final = re.compile(r" - at `\$(.*)`$")
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_KINDS: Final[dict[type[msgspec.Struct], tuple[tuple[str, ...], dict[str, Any]]]] = {}


def parse_struct(kind: type[_S], body: bytes, **ours: Any) -> _S:
    """The body as `kind`, with the members in `ours` added, which the client may not set. Raises a 400 Problem if it is
    not JSON, and 422 with the place of the first mistake if it does not fit."""
    said = parse_json(body)
    if isinstance(said, dict):
        for name in ours.keys() & said.keys():
            raise invalid_request([{"loc": (name,), "msg": "There is no such field.", "type": "unknown_field"}])
        said |= ours
    try:
        return msgspec.convert(said, kind, strict=True, str_keys=True)
    except msgspec.ValidationError as error:
        raise invalid_request([_unfit(str(error))]) from None


def struct_body(kind: type[msgspec.Struct], *ours: str, example: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI description of such a body, without the members in `ours`."""
    _KINDS[kind] = ours, example
    schema = {"$ref": _SCHEMA.format(name=_name(kind))}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def struct_schemas() -> dict[str, Any]:
    """The schemas of all such bodies by name. The structs that they refer to are among the schemas of the events."""
    _, schemas = msgspec.json.schema_components(list(_KINDS), ref_template=_SCHEMA)
    bodies = {}
    for kind, (ours, example) in _KINDS.items():
        schema = schemas[kind.__name__]
        properties = {name: said for name, said in schema["properties"].items() if name not in ours}
        required = [name for name in schema.get("required", ()) if name not in ours]
        bodies[_name(kind)] = {
            **schema,
            "title": _name(kind),
            "properties": properties,
            "required": required,
            "examples": [example],
        }
    return bodies


def _name(kind: type[msgspec.Struct]) -> str:
    return f"{kind.__name__}Body"


def _unfit(said: str) -> dict[str, Any]:
    """The mistake that msgspec found, in our words, as an entry of an `invalid_request` problem."""
    found = _WHERE.search(said)
    place = tuple(name or number for name, number in _STEP.findall(found[1])) if found else ()
    sentence = said[: found.start()] if found else said
    for pattern, say in _SAID:
        if match := re.match(pattern, sentence):
            code, detail = say(match)
            if code in (MISSING[0], UNKNOWN[0]):
                place = (*place, match[1])
            return {"loc": place, "msg": detail, "type": code}
    if "`" in sentence:  # one of msgspec's own messages; those of the structs contain no backquotes
        return {"loc": place, "msg": ANY_OTHER[1], "type": ANY_OTHER[0]}
    return {"loc": place, "msg": f"{sentence[:1].upper()}{sentence[1:]}.", "type": ANY_OTHER[0]}


# The first match counts.
_SAID: Final[tuple[tuple[str, Callable[[re.Match[str]], tuple[str, str]]], ...]] = (
    (r"Object missing required field `(.+)`", lambda _: MISSING),
    (r"Object contains unknown field `(.+)`", lambda _: UNKNOWN),
    (r"Expected `int` >= (-?\d+)", lambda found: too_small(int(found[1]))),
    (r"Expected `int` <= (-?\d+)", lambda found: too_large(int(found[1]))),
    (r"Expected `array` of length <= (\d+)", lambda found: too_many(int(found[1]))),
    (r"Expected `str` of length >= (\d+)", lambda found: ("too_short", f"This has fewer than {found[1]} characters.")),
    (r"Expected `str` of length <= (\d+)", lambda found: ("too_long", f"This has more than {found[1]} characters.")),
    (r"Expected `str` matching regex", lambda _: WRONG_PATTERN),
    (r"Expected `int`", lambda _: NOT_WHOLE),
    (r"Expected `str`", lambda _: NOT_TEXT),
    (r"Expected `bool`", lambda _: NOT_BOOLEAN),
    (r"Expected `array`", lambda _: NOT_LIST),
    (r"Expected `object`", lambda _: NOT_OBJECT),
    (r"Invalid UUID|Expected `uuid`", lambda _: NOT_UUID),
    (r"Invalid RFC3339|Expected `datetime`", lambda _: ("not_moment", "This is not a date and time (RFC 3339).")),
    (r"Invalid (?:enum )?value", lambda _: ("not_one_of", "This is not one of the values in the schema.")),
)
