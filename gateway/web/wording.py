"""Validation errors in our words: turns pydantic's errors into the entries of an `invalid_request` problem.

Fields of `domain/fields` have their own sentences. The others (for types, bounds, lists, missing or unknown members)
are here, except those that other kinds of input share, which are in `domain/fields/core.py`.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from domain.fields import core
from domain.fields.core import BadValue

_Said = tuple[str, str]
NOT_LIST: Final = ("not_list", "This is not a list.")
NOT_UUID: Final = ("not_id", "This is not an id (UUID).")
WRONG_PATTERN: Final = ("wrong_pattern", "This does not match the pattern in the schema.")
ANY_OTHER: Final = ("invalid_value", "This value is not valid.")

_SAID: Final[dict[str, _Said]] = {
    "missing": core.MISSING,
    "extra_forbidden": core.UNKNOWN,
    "invalid_key": core.UNKNOWN,
    "string_type": core.NOT_TEXT,
    "string_unicode": ("not_unicode", "This is not valid UTF-8 text."),
    "string_pattern_mismatch": WRONG_PATTERN,
    "int_type": core.NOT_WHOLE,
    "int_from_float": core.NOT_WHOLE,
    "int_parsing": core.NOT_WHOLE,
    "int_parsing_size": core.NOT_WHOLE,
    "bool_type": core.NOT_BOOLEAN,
    "bool_parsing": core.NOT_BOOLEAN,
    "model_type": core.NOT_OBJECT,
    "model_attributes_type": core.NOT_OBJECT,
    "dict_type": core.NOT_OBJECT,
    "list_type": NOT_LIST,
    "uuid_type": NOT_UUID,
    "uuid_parsing": NOT_UUID,
    "uuid_version": NOT_UUID,
}

_SAID_OF: Final[dict[str, Callable[[dict[str, Any]], _Said]]] = {
    "greater_than_equal": lambda ctx: core.too_small(ctx["ge"]),
    "less_than_equal": lambda ctx: core.too_large(ctx["le"]),
    "string_too_short": lambda ctx: ("too_short", f"This has fewer than {_characters(ctx['min_length'])}."),
    "string_too_long": lambda ctx: ("too_long", f"This has more than {_characters(ctx['max_length'])}."),
    "too_short": lambda ctx: core.too_few(ctx["min_length"]),
    "too_long": lambda ctx: core.too_many(ctx["max_length"]),
    "literal_error": lambda ctx: ("not_one_of", f"This is not one of {_words(ctx['expected'])}."),
    "enum": lambda ctx: ("not_one_of", f"This is not one of {_words(ctx['expected'])}."),
}


def unfit(errors: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """The entries for pydantic's errors, which must include their context."""
    for error in errors:
        code, detail = _said(error["type"], error.get("ctx") or {})
        yield {"loc": error["loc"], "msg": detail, "type": code}


def _said(kind: str, ctx: dict[str, Any]) -> _Said:
    cause = ctx.get("error")
    if isinstance(cause, BadValue):
        return cause.code, cause.detail
    if isinstance(cause, ValueError):
        return "invalid_value", str(cause)  # raised by a model of ours
    if kind in _SAID_OF:
        return _SAID_OF[kind](ctx)
    return _SAID.get(kind, ANY_OTHER)


def _characters(count: int) -> str:
    return f"{count} character{'' if count == 1 else 's'}"


def _words(expected: str) -> str:
    """The words in pydantic's list, which has the form `'a', 'b' or 'c'`."""
    return expected.replace("'", "").replace(" or ", ", ")
