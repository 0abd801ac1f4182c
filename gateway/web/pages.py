"""Keyset pagination: a cursor names the last row of a page, so page 10,000 costs the same as page 1."""

import base64
import binascii
from collections.abc import Callable
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Select, Table, tuple_

from gateway.web.problems import invalid_request
from runtime.envelope import MOMENT_MAX_MICROSECONDS
from runtime.records import microseconds, moment

_T = TypeVar("_T")
_K = TypeVar("_K")
_Q = TypeVar("_Q", bound=Select[Any])


class Page(BaseModel, Generic[_T]):
    """Some rows, and the cursor of the next page if there is one."""

    items: list[_T]
    next_cursor: str | None = None


def page_of(rows: list[_T], limit: int, key: Callable[[_T], str]) -> Page[_T]:
    """The first `limit` of `rows`, of which one more was read than the page holds."""
    items = rows[:limit]
    return Page(items=items, next_cursor=encode_cursor(key(items[-1])) if len(rows) > limit else None)


def encode_cursor(key: str) -> str:
    """The cursor after the row with this key; opaque to clients."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, kind: Callable[[str], _K]) -> _K:
    """The key in a cursor. Raises a 422 Problem if it is not one of ours."""
    try:
        return kind(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
    except (ValueError, binascii.Error):
        error = {"loc": ("query", "cursor"), "msg": "This is not a valid cursor.", "type": "cursor_invalid"}
        raise invalid_request([error]) from None


def newest_first(query: _Q, table: Table, cursor: str | None, limit: int) -> _Q:
    """The query for one page of rows and one more, by creation, newest first. Creation times follow the log, so a
    client that pages back to a row it knows has missed none. Ids do not: they are assigned before a command is
    applied."""
    made = (table.c.created_at, table.c.id)
    query = query.order_by(*(column.desc() for column in made)).limit(limit + 1)
    return query if cursor is None else query.where(tuple_(*made) < decode_cursor(cursor, _made))


def made_key(created_at: datetime, identifier: UUID) -> str:
    """The key of a row in such a list, for `page_of`."""
    return f"{microseconds(created_at)} {identifier}"


def _made(key: str) -> tuple[datetime, UUID]:
    at, _, identifier = key.partition(" ")
    since = int(at)
    if not 0 <= since <= MOMENT_MAX_MICROSECONDS:
        raise ValueError(f"{since} is no moment of ours")
    return moment(since), UUID(identifier)
