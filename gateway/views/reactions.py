"""How far the reactions are behind the log, for metrics."""

from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from runtime.tables import event_counter, events, reactions


class Lag(NamedTuple):
    """`events` it has not passed yet; `seconds` since it could have handled the first; `failures` of that one."""

    reaction: str
    events: int
    seconds: float
    failures: int


async def lags(engine: AsyncEngine) -> list[Lag]:
    """The lag of every active reaction."""
    next_seq = reactions.c.position + 1
    waiting = func.extract("epoch", func.now() - events.c.occurred_at) - reactions.c.delay_seconds
    query = (
        select(
            reactions.c.name,
            event_counter.c.last_seq - reactions.c.position,
            func.greatest(0.0, func.coalesce(waiting, 0.0)),
            reactions.c.failures,
        )
        .select_from(reactions.join(event_counter, reactions.c.active).outerjoin(events, events.c.seq == next_seq))
        .order_by(reactions.c.name)
    )
    async with engine.connect() as connection:
        return [Lag(name, behind, float(s), failures) for name, behind, s, failures in await connection.execute(query)]
