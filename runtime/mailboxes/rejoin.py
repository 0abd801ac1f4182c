"""Mailboxes and their positions, kept in step: for the day Redis or Postgres is replaced, put back or wiped.

A position is a stream id. A Redis that knows nothing of it might give new entries ids that lie before it, if its clock
is behind, and nobody would ever read them. And a Postgres that was begun anew, or put back from an older backup, knows
nothing of what Redis has seen applied: seqs will be given out again, so the log goes on under a new identity. Whoever
finds the two out of step mends what does not fit, under the position's lock; workers leave such a mailbox alone until
then. What waits is kept, and applied. What was lost with either side cannot be found again here, nor what a slow
clock's new entries ran past between two looks; so every mending is counted, in the metrics and in the mailbox's row,
and `verify` tells it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from runtime.branches import Branches, begin_branch, read_branches
from runtime.mailboxes.fence import Confirmed, known_to, make_known
from runtime.mailboxes.inbox import Bookmark, Inbox, Remembered, entry_order, remembered
from runtime.mailboxes.keys import log_key, stream_key
from runtime.metrics import REJOINED

_log = logging.getLogger(__name__)

_BEGINNING: Final = "0-0"
_ROWS: Final = """
    SELECT mailbox, position, entries FROM unnest($1::int[]) AS asked (mailbox)
    FULL JOIN mailboxes USING (mailbox) ORDER BY mailbox
"""


class _Stream(NamedTuple):
    """What Redis says of a mailbox: the last id it gave out, how many entries it ever added, and what it knows of the
    log; no id if there is no stream."""

    last_id: str | None
    added: int
    knows: Remembered | None


class Rejoined(NamedTuple):
    """All mailboxes that there are, those that were mended, and how many commands wait in these."""

    mailboxes: list[int]
    mended: list[int]
    waiting: int


async def rejoin(pool: asyncpg.Pool[Any], client: Redis, inbox: Inbox, mailboxes: Iterable[int] = ()) -> Rejoined:
    """Mends the mailboxes that are out of step, of those given and all that have a position."""
    asked = sorted(mailboxes)
    # All that Redis knows to be applied, Postgres knew before; all that Postgres knows, Redis gave out before. So it is
    # looked at in this order that what is busy does not seem out of step.
    applied = {mailbox: stream.knows for mailbox, stream in zip(asked, await _streams(client, asked), strict=True)}
    confirmed = await known_to(client)
    async with pool.acquire() as connection:
        rows = await connection.fetch(_ROWS, asked)
        branches = await read_branches(connection)
        identity = branches.identity
        last_seq: int = await connection.fetchval("SELECT last_seq FROM event_counter")
        gone_back = _is_put_back(branches, last_seq, confirmed) or _has_gone_back(
            branches, {row["mailbox"]: row["position"] for row in rows}, applied
        )
        if gone_back:
            identity = await begin_branch(connection, identity)
            _log.error(
                "Redis has seen commands applied that are not in the log (was Postgres put back, or begun anew?); "
                "the log goes on as %s",
                identity,
            )
    await make_known(client, Confirmed(identity, last_seq), confirmed)
    mended: list[int] = []
    waiting = 0
    known = [row["mailbox"] for row in rows]
    for row, stream in zip(rows, await _streams(client, known), strict=True):
        mailbox = row["mailbox"]
        bookmark = Bookmark(row["position"] or _BEGINNING, identity)
        if _out_of_step(bookmark, row["entries"] or 0, stream._replace(knows=applied.get(mailbox))):
            waits = await _mend(pool, client, inbox, mailbox)
            if waits is not None:
                mended.append(mailbox)
                waiting += waits
    if gone_back:
        await inbox.call_asleep(known)
    return Rejoined(known, mended, waiting)


def _is_put_back(branches: Branches, last_seq: int, confirmed: Sequence[Confirmed]) -> bool:
    """Whether Redis knows of another log than Postgres has, or of more of this one. That it knows a branch of before is
    no sign: whoever began today's may not have come to telling it."""
    ours = {branch.identity for branch in branches}
    today = Confirmed(branches.identity, last_seq)
    return any(
        known.identity not in ours or (known.identity == today.identity and not known.fits(today))
        for known in confirmed
    )


def _has_gone_back(
    branches: Branches, positions: Mapping[int, str | None], applied: Mapping[int, Remembered | None]
) -> bool:
    """The same, by what Redis knows of single mailboxes: it hears of them where it does not know the log yet."""
    ours = {branch.identity for branch in branches}
    for mailbox, known in applied.items():
        if known is not None:
            bookmark = Bookmark(positions[mailbox] or _BEGINNING, branches.identity)
            if known.identity not in ours or (known.identity == bookmark.identity and not known.fits(bookmark)):
                return True
    return False


async def _streams(client: Redis, mailboxes: Sequence[int]) -> list[_Stream]:
    pipeline = client.pipeline(transaction=False)
    for mailbox in mailboxes:
        pipeline.xinfo_stream(stream_key(mailbox))
        pipeline.hmget(log_key(mailbox), "identity", "position")
    answers = await pipeline.execute(raise_on_error=False) if mailboxes else []
    found = []
    for info, fields in zip(answers[::2], answers[1::2], strict=True):
        for answer in (info, fields):
            if isinstance(answer, Exception) and not (answer is info and isinstance(answer, ResponseError)):
                raise answer
        knows = remembered(fields)
        if isinstance(info, ResponseError):
            found.append(_Stream(None, 0, knows))
        else:
            found.append(_Stream(info["last-generated-id"].decode(), info["entries-added"], knows))
    return found


def _out_of_step(bookmark: Bookmark, entries: int, stream: _Stream) -> bool:
    if stream.knows is not None and not stream.knows.fits(bookmark):
        return True
    if stream.last_id is None:
        return entries > 0
    return entry_order(stream.last_id) < entry_order(bookmark.position) or stream.added < entries


async def _mend(pool: asyncpg.Pool[Any], client: Redis, inbox: Inbox, mailbox: int) -> int | None:
    """Brings one mailbox into step; returns how many commands wait in it, or None if it need not, or cannot now."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("INSERT INTO mailboxes (mailbox) VALUES ($1) ON CONFLICT DO NOTHING", mailbox)
        row = await connection.fetchrow(
            "SELECT position, entries FROM mailboxes WHERE mailbox = $1 FOR UPDATE SKIP LOCKED", mailbox
        )
        if row is None:
            return None
        bookmark = Bookmark(row["position"], (await read_branches(connection)).identity)
        # Seen without the lock, a busy mailbox may have looked out of step.
        (stream,) = await _streams(client, [mailbox])
        if not _out_of_step(bookmark, row["entries"], stream):
            return None
        waiting = await inbox.rejoin(mailbox, bookmark, row["entries"])
        await connection.execute("UPDATE mailboxes SET rejoined = rejoined + 1 WHERE mailbox = $1", mailbox)
    REJOINED.inc()
    _log.error(
        "mailbox %d: Redis and Postgres did not agree on what is applied (was one of them replaced?); it was brought "
        "into step, %d commands wait in it",
        mailbox,
        waiting,
    )
    return waiting
