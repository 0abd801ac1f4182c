"""`tidegate verify`: the proof. Folds the event log from its beginning and compares it with every table.

All tables are read in one snapshot and streamed, so memory stays flat however long the log is. The mailboxes are
compared with their positions under the positions' locks, so that nothing is applied between the two looks.
"""

from __future__ import annotations

import asyncpg

from ops.verify.entities import check_entities
from ops.verify.log import check_log
from ops.verify.mailboxes import check_mailboxes
from ops.verify.orders import check_orders
from ops.verify.outcomes import check_outcomes
from ops.verify.report import Progress, Report, no_progress
from runtime.database import asyncpg_dsn
from runtime.redis_client import connect

__all__ = ["Progress", "Report", "verify"]


async def verify(database_url: str, redis_url: str, *, mailbox_count: int, progress: Progress = no_progress) -> Report:
    """Compares everything with everything; the report says what was counted and what does not agree."""
    report = Report()
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    redis = connect(redis_url)
    try:
        await check_mailboxes(connection, redis, mailbox_count, report, progress)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await check_log(connection, report, progress)
            await check_orders(connection, report, progress)
            await check_entities(connection, report, progress)
            await check_outcomes(connection, report, progress)
    finally:
        await redis.aclose()
        await connection.close()
    return report
