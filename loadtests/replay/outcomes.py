"""What became of accepted commands, read from their records in Postgres."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from runtime.database import LOST_CONNECTION
from runtime.records import FAILED, REJECTED

NO_PROGRESS_SECONDS: Final = 60.0  # without a single new outcome for so long, the rest is missing
_POLL_SECONDS: Final = 0.1
_ASKED_AT_ONCE: Final = 5_000

# `applied_at` is the time of the batch that applied the command, taken when it began to decide.
_OUTCOMES: Final = f"""
    SELECT c.id, c.status, extract(epoch FROM c.applied_at - c.accepted_at)::float8 AS seconds, e.data->>'code' AS code
    FROM commands c LEFT JOIN events e ON e.seq = c.seq AND c.status IN ('{REJECTED}', '{FAILED}')
    WHERE c.id = ANY($1::uuid[])
"""  # noqa: S608 - only our own constants go in


class Outcome(msgspec.Struct, frozen=True):
    """`status` as in the commands table, `code` of a rejection or failure, `seconds` from accepted to applied."""

    status: str
    code: str | None
    seconds: float


async def wait_for_outcomes(
    pool: asyncpg.Pool[Any], command_ids: Iterable[UUID], progress: Callable[[int], None]
) -> dict[UUID, Outcome]:
    """The outcomes as they come in, until all are there or none has come for NO_PROGRESS_SECONDS; that the database is
    away for a while is no reason to give up earlier. `progress` is told how many there are.
    """
    waiting = set(command_ids)
    outcomes: dict[UUID, Outcome] = {}
    last_news = time.monotonic()
    while waiting:
        try:
            found = await _outcomes(pool, list(waiting))
        except LOST_CONNECTION:
            found = {}
        if found:
            outcomes |= found
            waiting -= found.keys()
            last_news = time.monotonic()
            progress(len(outcomes))
        elif time.monotonic() - last_news > NO_PROGRESS_SECONDS:
            break
        else:
            await asyncio.sleep(_POLL_SECONDS)
    return outcomes


async def _outcomes(pool: asyncpg.Pool[Any], command_ids: Sequence[UUID]) -> dict[UUID, Outcome]:
    found: dict[UUID, Outcome] = {}
    for start in range(0, len(command_ids), _ASKED_AT_ONCE):
        for row in await pool.fetch(_OUTCOMES, command_ids[start : start + _ASKED_AT_ONCE]):
            found[row["id"]] = Outcome(row["status"], row["code"], row["seconds"])
    return found
