"""What waits, as the board shows it: payments that are pending, and checkouts that are open."""

from typing import Any, Final, NamedTuple

from sqlalchemy import Select, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from runtime.tables import checkouts, payments

ACTIVE_MINUTES: Final = 10
"""A checkout that was changed in so many minutes is active."""

PENDING_MAX: Final = 10_000
CHECKOUTS_MAX: Final = 100_000
"""So many are counted."""

# Word for word as in the index.
_OPEN: Final = text("status = 'open'")


class Waits(NamedTuple):
    """Payments that wait for their provider or their buyer, and since how many seconds nothing was heard of one of
    them, of the longest; open checkouts, and those that are active."""

    pending_payments: int
    oldest_pending_seconds: float | None
    open_checkouts: int
    active_checkouts: int


async def waits(connection: AsyncConnection) -> Waits:
    """What waits now. Of pending payments, the oldest are counted."""
    oldest = (
        select(payments.c.updated_at, payments.c.capabilities)
        .where(payments.c.is_pending)
        .order_by(payments.c.created_at)
        .limit(PENDING_MAX)
        .subquery()
    )
    silent = func.greatest(0.0, func.extract("epoch", func.now() - func.min(oldest.c.updated_at)))
    # Those that wait for staff are no news.
    pending = select(func.count(), silent).where(~oldest.c.capabilities.contains({"staff_report": True}))
    count, seconds = (await connection.execute(pending)).one()
    is_open = select(checkouts.c.id).where(_OPEN)
    is_active = is_open.where(checkouts.c.updated_at > func.now() - text(f"interval '{ACTIVE_MINUTES} minutes'"))
    return Waits(
        count,
        float(seconds) if count else None,
        await _counted(connection, is_open),
        await _counted(connection, is_active),
    )


async def _counted(connection: AsyncConnection, query: Select[Any]) -> int:
    number: int = (
        await connection.execute(select(func.count()).select_from(query.limit(CHECKOUTS_MAX).subquery()))
    ).scalar_one()
    return number
