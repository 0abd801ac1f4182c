"""Statements of many parts: a batch writes to several tables in one round trip, because a round trip costs the same
however few rows it carries. All parts see the same snapshot, so none sees what another writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import asyncpg

from workers.places import Places
from workers.stale import StaleRead

_KEPT: Final = 1_000
"""How many combinations of parts to cache the text of: mixed batches keep making new ones."""


class Part(NamedTuple):
    """A query of a statement, with `{0}`, `{1}` and so on for its arguments. It may read earlier parts by name. One
    part is called `places`: its single row has the place in the log of the batch's first event (`first`), and the
    batch's moment (`at`). Without that row, no part may change anything. A part with `changes` must change exactly that
    many rows; otherwise the whole statement fails.
    """

    name: str
    query: str
    arguments: Sequence[Any]
    changes: int | None = None


def taken(at: datetime) -> Part:
    """The `places` of a batch that has already taken them: rows contain final seqs, so `first` is 0."""
    return Part("places", "SELECT 0::bigint AS first, {0}::timestamptz AS at", (at,))


async def execute(connection: asyncpg.Connection[Any], parts: Sequence[Part]) -> Places | None:
    """Runs all parts; returns the places, or None if there was no row, so that nothing was changed. Raises StaleRead if
    rows to be changed are gone; then roll back the surrounding transaction, if any."""
    statement = _statement(tuple((each.name, each.query, len(each.arguments), each.changes is None) for each in parts))
    arguments = [argument for part in parts for argument in part.arguments]
    expected = [part.changes for part in parts if part.changes is not None]
    try:
        row = await connection.fetchrow(statement, *arguments, *expected)
    except asyncpg.DivisionByZeroError as error:
        raise StaleRead("row_gone") from error
    return None if row is None else Places(row["first"], row["at"])


@lru_cache(maxsize=_KEPT)
def _statement(parts: tuple[tuple[str, str, int, bool], ...]) -> str:
    """The text of a statement. Each part is its name, its query, the number of its arguments, and whether it may change
    any number of rows. The numbers of rows that the other parts must change are the last arguments. A wrong number is
    turned into a division by zero, because only an error undoes the parts, and plain SQL cannot raise any other."""
    number, queries = 1, []
    for name, query, count, meets_any in parts:
        text = query.format(*(f"${n}" for n in range(number, number + count)))
        queries.append(f"{name} AS ({text if meets_any else f'{text} RETURNING 1'})")
        number += count
    counted = [name for name, _, _, meets_any in parts if not meets_any]
    met = [f"(SELECT count(*) FROM {each}) = ${n}" for n, each in enumerate(counted, number)]  # noqa: S608 - likewise
    undone = f"1 / ({' AND '.join(met)})::int" if met else "1"
    return f"WITH {', '.join(queries)} SELECT first, at, {undone} FROM places"  # noqa: S608 - texts of ours
