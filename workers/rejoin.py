"""Mailboxes and their positions, kept in step: for the day Redis is replaced, restored or wiped.

A position is a stream id. A Redis that knows nothing of it might give new entries ids that lie before it, if its clock
is behind, and nobody would ever read them. The sweep compares both sides and mends what does not fit, under the
position's lock. What was lost with the old Redis cannot be found again here, nor what a slow clock's new entries ran
past between two sweeps; so every mending is counted, in the metrics and in the mailbox's row, and `verify` tells it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from runtime.mailboxes.inbox import Inbox, entry_order
from runtime.mailboxes.keys import stream_key
from runtime.metrics import REJOINED

_log = logging.getLogger(__name__)


async def rejoin(pool: asyncpg.Pool[Any], client: Redis, inbox: Inbox) -> list[int]:
    """Mends the mailboxes that are out of step; returns all that have a position."""
    rows = await pool.fetch("SELECT mailbox, position, entries FROM mailboxes ORDER BY mailbox")
    mailboxes = [row["mailbox"] for row in rows]
    for row, info in zip(rows, await _infos(client, mailboxes), strict=True):
        if _out_of_step(row, info):
            await _mend(pool, client, inbox, row["mailbox"])
    return mailboxes


async def _infos(client: Redis, mailboxes: Sequence[int]) -> list[dict[str, Any] | None]:
    """What Redis says of each stream; None for one it does not have."""
    pipeline = client.pipeline(transaction=False)
    for mailbox in mailboxes:
        pipeline.xinfo_stream(stream_key(mailbox))
    infos = await pipeline.execute(raise_on_error=False) if mailboxes else []
    for info in infos:
        if isinstance(info, Exception) and not isinstance(info, ResponseError):
            raise info
    return [None if isinstance(info, ResponseError) else info for info in infos]


def _out_of_step(row: asyncpg.Record, info: dict[str, Any] | None) -> bool:
    if info is None:
        return bool(row["entries"])
    last = info["last-generated-id"].decode()
    return entry_order(last) < entry_order(row["position"]) or info["entries-added"] < row["entries"]


async def _mend(pool: asyncpg.Pool[Any], client: Redis, inbox: Inbox, mailbox: int) -> None:
    async with pool.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(
            "SELECT mailbox, position, entries FROM mailboxes WHERE mailbox = $1 FOR UPDATE SKIP LOCKED", mailbox
        )
        # Seen without the lock, a busy mailbox may have looked out of step.
        if row is None or not _out_of_step(row, (await _infos(client, [mailbox]))[0]):
            return
        again = await inbox.rejoin(mailbox, row["position"], row["entries"])
        await connection.execute("UPDATE mailboxes SET rejoined = rejoined + 1 WHERE mailbox = $1", mailbox)
    REJOINED.inc()
    _log.error(
        "mailbox %d: Redis does not know what was applied (was it replaced?); it was brought back into step, "
        "%d waiting commands came behind the position again",
        mailbox,
        again,
    )
