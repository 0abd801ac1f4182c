"""GraphQL over HTTP: request bodies and the data of answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from loadtests.conversations import Unexpected

REFUSED: Final = "... on ErrorResult { errorCode message }"
"""Must be selected in every union that may contain an error result, so that `data` notices it."""

_CHARS: Final = 300


class GraphQLRefusal(Unexpected):
    """An answer with errors, or with an error result."""


def asked(document: str, variables: Mapping[str, Any] | None = None) -> bytes:
    """The body of a request."""
    return msgspec.json.encode({"query": document, "variables": variables or {}})


def data(body: bytes) -> dict[str, Any]:
    """The answer's data, by field. Raises GraphQLRefusal if any of it is an error."""
    try:
        answer = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise GraphQLRefusal(f"not an answer of GraphQL: {body[:_CHARS]!r}") from None
    if answer.get("errors") or not isinstance(answer.get("data"), dict):
        raise GraphQLRefusal(str(answer.get("errors"))[:_CHARS])
    found: dict[str, Any] = answer["data"]
    for field, value in found.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict) and ("errorCode" in each or each.get("errorResults")):
                raise GraphQLRefusal(f"{field}: {each}"[:_CHARS])
    return found
