"""The mailboxes: every command ever accepted has been applied or is still waiting.

Redis counts the entries ever added to a stream, Postgres those applied. Both are read while the position is locked:
added minus waiting after the position must equal applied. A Redis that was replaced cannot say what was lost with it;
the mailboxes were then rejoined, which is counted here.
"""

from __future__ import annotations

from typing import Any, Final

import asyncpg

from runtime.branches import read_branches
from runtime.mailboxes.fence import Confirmed, known_to
from runtime.mailboxes.inbox import Bookmark
from runtime.mailboxes.redis_keys import awake_key
from runtime.mailboxes.standing import standings
from runtime.proof.report import Progress, Report
from runtime.redis_pipeline import Client

_LOCK_TIMEOUT_MS: Final = 15_000


async def check_mailboxes(
    connection: asyncpg.Connection[Any], redis: Client, mailbox_count: int, report: Report, progress: Progress
) -> None:
    """Compares each mailbox with its position, and the log with Redis's record of it."""
    await _check_log(connection, redis, report)
    known = await connection.fetch("SELECT mailbox FROM mailboxes WHERE mailbox >= $1 ORDER BY mailbox", mailbox_count)
    all_there_are = [*range(mailbox_count), *(row["mailbox"] for row in known)]
    applied = waiting = rejoined = 0
    for done, mailbox in enumerate(all_there_are, start=1):
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}")
            await connection.execute("INSERT INTO mailboxes (mailbox) VALUES ($1) ON CONFLICT DO NOTHING", mailbox)
            position, entries, times = await connection.fetchrow(
                "SELECT position, entries, rejoined FROM mailboxes WHERE mailbox = $1 FOR UPDATE", mailbox
            )
            bookmark = Bookmark(position, (await read_branches(connection)).identity)
            _, added, waits, knows = (await standings(redis, {mailbox: position}))[mailbox]
        # A worker that wanted to drain it found it locked and left: let the sweep see that it is asleep.
        await redis.delete(awake_key(mailbox))
        rejoined += times
        applied += entries
        waiting += waits
        if knows is not None and not knows.fits(bookmark):
            report.differ(
                "mailboxes",
                f"mailbox {mailbox}",
                "Redis has seen commands applied that Postgres does not know of",
                redis=[str(knows.identity), knows.position],
                postgres=[str(bookmark.identity), bookmark.position],
            )
        missing = added - waits - entries
        if missing:
            report.differ(
                "mailboxes",
                f"mailbox {mailbox}",
                "accepted commands are missing" if missing > 0 else "Redis knows of fewer commands than were applied",
                accepted=added,
                applied=entries,
                waiting=waits,
            )
        progress("mailboxes", done, len(all_there_are))
    report.counts["mailbox_entries_applied"] = applied
    report.counts["mailbox_entries_waiting"] = waiting
    report.counts["mailboxes_rejoined"] = rejoined


async def _check_log(connection: asyncpg.Connection[Any], redis: Client, report: Report) -> None:
    for known in await known_to(redis):
        last_seq = await connection.fetchval("SELECT last_seq FROM event_counter")
        today = Confirmed((await read_branches(connection)).identity, last_seq)
        if not known.fits(today):
            report.differ(
                "mailboxes",
                "log",
                "Redis has seen more of the log than Postgres has, or a different log",
                redis=[str(known.identity), known.seq],
                postgres=[str(today.identity), today.seq],
            )
