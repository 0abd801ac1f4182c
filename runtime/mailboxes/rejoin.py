"""Keeps mailboxes and their positions in step, for when Redis or Postgres is replaced, restored or wiped.

A position is a stream id. A Redis that does not know it might assign lower ids to new entries, if its clock is behind,
and they would never be read. A Postgres that was wiped, or restored from an older backup, lacks what Redis knows to be
applied: it will assign the same seqs again, so the log continues under a new identity. The process that finds the two
out of step repairs the mailbox under the position's lock; workers leave it alone until then. Waiting commands are kept
and applied. What was lost with either side cannot be recovered here, nor entries that a slow clock numbered too low
before this was noticed. So every repair is counted, in the metrics and in the mailbox's row, and `verify` reports it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import asyncpg

from runtime.branches import Branches, begin_branch, read_branches
from runtime.mailboxes.fence import Confirmed, known_to, make_known
from runtime.mailboxes.inbox import Bookmark, Inbox, Remembered, entry_order, remembered
from runtime.mailboxes.redis_keys import log_key
from runtime.mailboxes.standing import Standing, standings
from runtime.metrics import REJOINED
from runtime.redis_client import as_far_as_possible
from runtime.redis_cluster import NodeUnavailable
from runtime.redis_pipeline import Client

_log = logging.getLogger(__name__)

_BEGINNING: Final = "0-0"
_ROWS: Final = """
    SELECT mailbox, position, entries FROM unnest($1::int[]) AS asked (mailbox)
    FULL JOIN mailboxes USING (mailbox) ORDER BY mailbox
"""


class Rejoined(NamedTuple):
    """All existing mailboxes, those that were repaired, and how many commands wait in the latter."""

    mailboxes: list[int]
    mended: list[int]
    waiting: int


async def rejoin(pool: asyncpg.Pool[Any], client: Client, inbox: Inbox, mailboxes: Iterable[int] = ()) -> Rejoined:
    """Repairs the mailboxes that are out of step, among those given and all that have a position. In a cluster,
    mailboxes on an unavailable node are left for later; so are all, while the node that knows the log is unavailable.
    """
    asked = sorted(mailboxes)
    # Whatever Redis knows to be applied, Postgres knew before; whatever Postgres knows, Redis had assigned before.
    # Reading in this order keeps busy mailboxes from seeming out of step.
    applied = await _known_applied(client, asked)
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
                "Redis has seen commands applied that are not in the log (was Postgres restored, or started afresh?); "
                "the log continues as %s",
                identity,
            )
    with suppress(NodeUnavailable):  # the next call tells it; until then, nothing is applied to a new log
        await make_known(client, Confirmed(identity, last_seq), confirmed)
    mended: list[int] = []
    waiting = 0
    known = [row["mailbox"] for row in rows]
    stand = await standings(client, {row["mailbox"]: row["position"] or _BEGINNING for row in rows})
    for row in rows:
        mailbox = row["mailbox"]
        if mailbox not in stand:
            continue
        bookmark = Bookmark(row["position"] or _BEGINNING, identity)
        if _out_of_step(bookmark, row["entries"] or 0, stand[mailbox]._replace(knows=applied.get(mailbox))):
            try:
                waits = await _mend(pool, client, inbox, mailbox)
            except NodeUnavailable:  # the node has become unavailable since
                continue
            if waits is not None:
                mended.append(mailbox)
                waiting += waits
    if gone_back:
        await inbox.call_asleep(known)
    return Rejoined(known, mended, waiting)


def _is_put_back(branches: Branches, last_seq: int, confirmed: Sequence[Confirmed]) -> bool:
    """Whether Redis knows a different log from Postgres's, or more of this one. Knowing an earlier branch does not
    count: the process that began the current one may not have told Redis yet."""
    ours = {branch.identity for branch in branches}
    today = Confirmed(branches.identity, last_seq)
    return any(
        known.identity not in ours or (known.identity == today.identity and not known.fits(today))
        for known in confirmed
    )


def _has_gone_back(
    branches: Branches, positions: Mapping[int, str | None], applied: Mapping[int, Remembered | None]
) -> bool:
    """Like `_is_put_back`, for a Redis that does not know the log yet: compares what it knows of each mailbox."""
    ours = {branch.identity for branch in branches}
    for mailbox, known in applied.items():
        if known is not None:
            bookmark = Bookmark(positions[mailbox] or _BEGINNING, branches.identity)
            if known.identity not in ours or (known.identity == bookmark.identity and not known.fits(bookmark)):
                return True
    return False


async def _known_applied(client: Client, mailboxes: Sequence[int]) -> dict[int, Remembered | None]:
    """What Redis knows to be applied, except for mailboxes on an unavailable node of a cluster."""
    pipeline = client.pipeline(transaction=False)
    for mailbox in mailboxes:
        pipeline.hmget(log_key(mailbox), "identity", "position")
    return {
        mailbox: remembered(fields)
        for mailbox, fields in zip(mailboxes, await as_far_as_possible(pipeline), strict=True)
        if not isinstance(fields, NodeUnavailable)
    }


def _out_of_step(bookmark: Bookmark, entries: int, stream: Standing) -> bool:
    """Whether Redis knows of something that Postgres does not, or has seen fewer entries than were applied. The latter
    happens after a failover: the replica lacks the last applied entries, although it may assign ids after the
    position."""
    if stream.knows is not None and not stream.knows.fits(bookmark):
        return True
    if stream.last_id is None:
        return entries > 0
    return entry_order(stream.last_id) < entry_order(bookmark.position) or stream.before < entries


async def _mend(pool: asyncpg.Pool[Any], client: Client, inbox: Inbox, mailbox: int) -> int | None:
    """Brings one mailbox into step; returns how many commands wait in it, or None if that is unnecessary or not
    possible now."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("INSERT INTO mailboxes (mailbox) VALUES ($1) ON CONFLICT DO NOTHING", mailbox)
        row = await connection.fetchrow(
            "SELECT position, entries FROM mailboxes WHERE mailbox = $1 FOR UPDATE SKIP LOCKED", mailbox
        )
        if row is None:
            return None
        bookmark = Bookmark(row["position"], (await read_branches(connection)).identity)
        # Check again under the lock: without it, a busy mailbox may have seemed out of step.
        stream = (await standings(client, {mailbox: bookmark.position})).get(mailbox)
        if stream is None or not _out_of_step(bookmark, row["entries"], stream):
            return None
        waiting = await inbox.rejoin(mailbox, bookmark, row["entries"])
        await connection.execute("UPDATE mailboxes SET rejoined = rejoined + 1 WHERE mailbox = $1", mailbox)
    REJOINED.inc()
    _log.error(
        "mailbox %d: Redis and Postgres disagreed on what is applied (was one of them replaced?); it was "
        "resynchronized, with %d commands waiting in it",
        mailbox,
        waiting,
    )
    return waiting
