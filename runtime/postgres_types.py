"""What asyncpg knows of Postgres's types. It comes with codecs for single values. When a connection first meets an
array, it asks the server what that is, by a query over the catalogues that takes longer than a small batch: every
connection does, for each kind of array.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import asyncpg

# Postgres's own types have ids below, which never change; those above are another thing in each database.
_OWN_BELOW: Final = 10_000

_told: Final[dict[frozenset[int], Any]] = {}


class _Unasked(NamedTuple):
    """Stands for the query's statement where there was no query: the name says that no unnamed one was replaced."""

    name: str = "unasked"


class LearnedConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection that knows what others of this process were told of Postgres's own types."""

    async def _introspect_types(self, typeoids: Iterable[int], timeout: float | None) -> Any:  # noqa: ASYNC109 - asyncpg's
        # Private to asyncpg, as is every other way to give a connection a codec without asking the server.
        asked = frozenset(typeoids)
        if asked in _told:
            return _told[asked], _Unasked()
        types, statement = await super()._introspect_types(typeoids, timeout)
        if max(asked) < _OWN_BELOW:
            _told[asked] = types
        return types, statement
