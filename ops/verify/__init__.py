"""`tidegate verify`: the proof. Folds the event log from its beginning and compares it with every table.

All tables are read in one snapshot and streamed, so memory stays flat however long the log is; the checks run
concurrently, each on its own connections. The mailboxes are compared with their positions while these are locked, so
that nothing is applied between the two reads.
"""

from __future__ import annotations

import asyncio
from typing import Final

import asyncpg

from ops.verify.entities import check_entities
from ops.verify.log import check_log
from ops.verify.mailboxes import check_mailboxes
from ops.verify.orders import check_orders
from ops.verify.outcomes import check_outcomes
from ops.verify.report import Progress, Report, no_progress
from ops.verify.snapshot import Snapshot
from ops.verify.tasks import check_tasks
from runtime.database import asyncpg_dsn
from runtime.redis_client import connect

__all__ = ["Progress", "Report", "verify"]


async def verify(database_url: str, redis_url: str, *, mailbox_count: int, progress: Progress = no_progress) -> Report:
    """Runs all checks; the report has the counts and the differences."""
    dsn = asyncpg_dsn(database_url)
    mailboxes, *of_tables = [Report() for _ in range(1 + len(_CHECKS))]
    async with connect(redis_url) as redis:
        connection = await asyncpg.connect(dsn)
        try:
            await check_mailboxes(connection, redis, mailbox_count, mailboxes, progress)
        finally:
            await connection.close()
    async with Snapshot(dsn) as snapshot:
        try:
            async with asyncio.TaskGroup() as checks:
                for check, report in zip(_CHECKS, of_tables, strict=True):
                    checks.create_task(check(snapshot, report, progress))
        except ExceptionGroup as failed:  # callers handle single errors
            raise failed.exceptions[0] from None
    return Report.of([mailboxes, *of_tables])


_CHECKS: Final = (check_log, check_orders, check_entities, check_outcomes, check_tasks)
