"""`tidegate verify`: the proof. Folds the event log and compares it with every table, starting from the stored fold of
the background process, or from the log's beginning.

All tables are read in one snapshot and streamed, so memory stays flat however long the log is; the checks run
concurrently, each on its own connections. The mailboxes are compared with their positions while these are locked, so
that nothing is applied between the two reads.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import asyncpg

from ops.archive.reading import SCHEMA, both
from ops.verify.anew import fold_anew
from ops.verify.entities import check_entities
from ops.verify.log import check_log
from ops.verify.mailboxes import check_mailboxes
from ops.verify.orders import check_orders
from ops.verify.outcomes import check_outcomes
from ops.verify.payments import check_payments
from ops.verify.snapshot import Snapshot
from ops.verify.tasks import check_tasks
from runtime.database import asyncpg_dsn
from runtime.proof.report import Progress, Report, no_progress
from runtime.proof.stored import POSITION, Position, position
from runtime.redis_client import connect

__all__ = ["Incomplete", "Progress", "Report", "verify"]


class Incomplete(Exception):
    """A part of the log is needed that is no longer in the database; the text says which."""


async def verify(
    database_url: str,
    redis_url: str,
    *,
    mailbox_count: int,
    from_zero: bool = False,
    archive: Path | None = None,
    progress: Progress = no_progress,
) -> Report:
    """Runs all checks; the report has the counts and the differences. With `from_zero`, the stored fold is not used.
    With the folder of an `archive`, archived events are read, too, from the first one on; if nothing differs, and the
    background processes cannot continue from the stored fold of the archived events, that is rebuilt. Raises
    BadArchive, and Incomplete if the archive is needed and was not given."""
    dsn = asyncpg_dsn(database_url)
    mailboxes, *of_tables = [Report() for _ in range(1 + len(_CHECKS))]
    async with connect(redis_url) as redis:
        connection = await asyncpg.connect(dsn)
        try:
            await check_mailboxes(connection, redis, mailbox_count, mailboxes, progress)
        finally:
            await connection.close()
    async with AsyncExitStack() as stack:
        if archive is not None:
            await stack.enter_async_context(both(dsn, archive, progress))
        snapshot = await stack.enter_async_context(Snapshot(dsn, None if archive is None else SCHEMA))
        base = Position() if from_zero or archive is not None else position(await snapshot.row(POSITION))
        (first_seq,) = await snapshot.row("SELECT first_seq FROM log_start")
        if archive is None and base.seq + 1 < first_seq:
            raise Incomplete(
                f"the log begins at seq {first_seq:,}: what the {first_seq - 1:,} events before it say, about orders,"
                " stock or anything else, cannot be verified without their archive (--with-archive DIR)"
            )
        try:
            async with asyncio.TaskGroup() as checks:
                for check, report in zip(_CHECKS, of_tables, strict=True):
                    checks.create_task(check(snapshot, base, report, progress))
        except ExceptionGroup as failed:  # callers handle single errors
            raise failed.exceptions[0] from None
        whole = Report.of([mailboxes, *of_tables])
        if archive is not None and whole.clean:
            await fold_anew(dsn, SCHEMA, first_seq - 1)
    if base.seq:
        whole.counts["events_folded_before"] = base.seq
    if archive is not None:
        whole.counts["events_archived"] = first_seq - 1
    return whole


_CHECKS: Final = (check_log, check_orders, check_entities, check_payments, check_outcomes, check_tasks)
