"""One statement of many parts: what a batch writes to several tables, in one round trip, since a round trip costs the
same however few rows it carries. All parts see one snapshot, and none sees what another writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import asyncpg

from workers.places import Places

_KEPT: Final = 1_000
"""Combinations of parts whose text is kept: batches of everything at once are of ever new ones."""


class Part(NamedTuple):
    """A query of a statement, with `{0}`, `{1}` and so on for its arguments. It may read earlier parts by name. One
    part is called `places`: its one row gives the place in the log of the batch's first event (`first`), and its moment
    (`at`). Without that row, no part may change anything.
    """

    name: str
    query: str
    arguments: Sequence[Any]


def taken(at: datetime) -> Part:
    """The moment of places that the batch has taken already: rows have their seqs, counted from 0."""
    return Part("places", "SELECT 0::bigint AS first, {0}::timestamptz AS at", (at,))


async def execute(connection: asyncpg.Connection[Any], parts: Sequence[Part]) -> Places | None:
    """Runs all parts; returns the places, or None if there was no row and nothing was changed."""
    statement = _statement(tuple((part.name, part.query, len(part.arguments)) for part in parts))
    row = await connection.fetchrow(statement, *(argument for part in parts for argument in part.arguments))
    return None if row is None else Places(*row)


@lru_cache(maxsize=_KEPT)
def _statement(parts: tuple[tuple[str, str, int], ...]) -> str:
    number, queries = 1, []
    for name, query, count in parts:
        queries.append(f"{name} AS ({query.format(*(f'${n}' for n in range(number, number + count)))})")
        number += count
    return f"WITH {', '.join(queries)} SELECT first, at FROM places"  # noqa: S608 - texts of ours
