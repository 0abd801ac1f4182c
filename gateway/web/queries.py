"""Query strings: rejects parts that the route does not know; and parses and documents the queries that a route reads
itself, in the fast lane or because they are a cache key.

Every query has a canonical form, independent of the order of its parts, and without defaults.
"""

from collections.abc import Iterator
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, urlencode

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.web.problems import invalid_request
from gateway.web.wording import unfit

_PARTS_MAX: Final = 100
UNKNOWN_PARAMETER: Final = ("unknown_parameter", "This parameter does not exist.")


class Query(BaseModel):
    """What a query string may say; of a repeated part the last counts. `only_known` says what it may not."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def canonical(self) -> bytes:
        """The equivalent query string without defaults, sorted by name."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        return urlencode(sorted((name, _text(value)) for name, value in said.items())).encode()


_Q = TypeVar("_Q", bound=Query)


def names_of(route: APIRoute) -> frozenset[str]:
    """The parts of a query that a route takes, according to its OpenAPI parameters."""
    said = {part["name"] for part in (route.openapi_extra or {}).get("parameters", ()) if part["in"] == "query"}
    return frozenset(said.union(_taken_by(route.dependant)))


def _taken_by(dependant: Dependant) -> Iterator[str]:
    """The parts of a query that an operation and its dependencies take."""
    yield from (field.alias for field in dependant.query_params)
    for other in dependant.dependencies:
        yield from _taken_by(other)


def check_known(query_string: bytes, known: frozenset[str]) -> None:
    """Raises a 422 Problem for a query string with a part that is not read: a misspelt filter would otherwise silently
    filter nothing."""
    if not query_string:
        return
    names = dict(_parts(query_string)).keys() - known
    if names:
        code, detail = UNKNOWN_PARAMETER
        raise invalid_request({"loc": ("query", name), "msg": detail, "type": code} for name in sorted(names))


async def only_known(request: Request) -> None:
    """`check_known` as a dependency of every route."""
    if request.scope["query_string"]:
        check_known(request.scope["query_string"], names_of(request.scope["route"]))


def _parts(query_string: bytes) -> list[tuple[str, str]]:
    """The parts of a query string. Raises a 422 Problem for too many."""
    try:
        # Percent-encoded bytes that are not UTF-8 become replacement characters, as everywhere in the framework.
        return parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=_PARTS_MAX)
    except ValueError:
        error = {
            "loc": ("query",),
            "msg": f"A query may have at most {_PARTS_MAX} parameters.",
            "type": "too_many_parts",
        }
        raise invalid_request([error]) from None


def parse_query(model: type[_Q], query_string: bytes) -> _Q:
    """The query string as `model`. Raises a 422 Problem for what does not fit."""
    try:
        return model.model_validate(dict(_parts(query_string)))
    except ValidationError as error:
        errors = unfit(error.errors(include_url=False, include_input=False))
        raise invalid_request({**one, "loc": ("query", *one["loc"])} for one in errors) from None


def query_parameters(model: type[Query]) -> list[dict[str, Any]]:
    """The OpenAPI parameters for the parts of a query."""
    schema = model.model_json_schema()
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "description": part.pop("description", ""),
            "schema": part,
        }
        for name, part in schema["properties"].items()
    ]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
