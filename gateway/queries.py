"""Query strings that a route reads itself, in the fast lane or because they are a key: read, named, and told OpenAPI.

Every query has one canonical form, in which the order of its parts and what goes without saying do not matter.
"""

from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, urlencode

from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.problems import invalid_request

_PARTS_MAX: Final = 100


class Query(BaseModel):
    """What a query string may say. Parts that we do not know are left alone; of a repeated one the last counts."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def canonical(self) -> bytes:
        """The query string that says the same, without what goes without saying, sorted by name."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        return urlencode(sorted((name, _text(value)) for name, value in said.items())).encode()


_Q = TypeVar("_Q", bound=Query)


def parse_query(model: type[_Q], query_string: bytes) -> _Q:
    """The query string as `model`. Raises a 422 Problem for what does not fit."""
    try:
        # Percent-encoded bytes that are no UTF-8 become replacement characters, as everywhere in the framework.
        parts = dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=_PARTS_MAX))
    except ValueError:
        error = {"loc": ("query",), "msg": f"A query has at most {_PARTS_MAX} parts.", "type": "too_many_parts"}
        raise invalid_request([error]) from None
    try:
        return model.model_validate(parts)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        raise invalid_request([{**one, "loc": ("query", *one["loc"])} for one in errors]) from None


def query_parameters(model: type[Query]) -> list[dict[str, Any]]:
    """What OpenAPI says of the parts of a query."""
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
