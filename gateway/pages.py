"""Pages by keyset: a cursor names the last row of a page, so page 10,000 costs what page 1 does."""

import base64
import binascii
from collections.abc import Callable
from typing import Generic, TypeVar

from pydantic import BaseModel

from gateway.problems import invalid_request

_T = TypeVar("_T")
_K = TypeVar("_K")


class Page(BaseModel, Generic[_T]):
    """Some rows, and the cursor of the next page if there is one."""

    items: list[_T]
    next_cursor: str | None = None


def page_of(rows: list[_T], limit: int, key: Callable[[_T], str]) -> Page[_T]:
    """The first `limit` of `rows`, which were read one more than the page holds."""
    items = rows[:limit]
    return Page(items=items, next_cursor=encode_cursor(key(items[-1])) if len(rows) > limit else None)


def encode_cursor(key: str) -> str:
    """The cursor behind the row with this key; opaque to clients."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, kind: Callable[[str], _K]) -> _K:
    """The key in a cursor. Raises a 422 Problem for one that we did not make."""
    try:
        return kind(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
    except (ValueError, binascii.Error):
        error = {"loc": ("query", "cursor"), "msg": "This is no cursor of ours.", "type": "cursor_invalid"}
        raise invalid_request([error]) from None
