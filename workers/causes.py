"""The traces in which commands were sent, to link the spans of their later effects to. Nothing is queried while tracing
is off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from runtime import tracing
from runtime.envelope import traceparent_of
from workers.failures import DATABASE_TROUBLE

_REQUESTS: Final = """
    SELECT c.request FROM events e JOIN commands c ON c.id = e.command_id WHERE e.seq = ANY($1::bigint[])
"""


async def causes(pool: asyncpg.Pool[Any], seqs: Sequence[int]) -> list[str]:
    """The traceparents of the commands that led to these events; none if they cannot be read now."""
    if not tracing.is_on():
        return []
    try:
        rows = await pool.fetch(_REQUESTS, seqs)
    except DATABASE_TROUBLE:
        return []
    return list(dict.fromkeys(cause for row in rows if (cause := traceparent_of(row["request"])) is not None))
