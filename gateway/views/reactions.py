"""The lag of reactions, for metrics."""

from typing import Final, NamedTuple

from sqlalchemy import Text, cast, exists, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.orders import PLACED
from domain.webhooks import ACTIVE
from runtime.standard_webhooks import REACTION_PREFIX
from runtime.tables import event_counter, events, orders, reactions, webhooks

_EXPIRY: Final = "expiry"

# The maximum number of orders not yet passed by expiry that are looked at.
_HOLDS_MAX: Final = 1_000


class Lag(NamedTuple):
    """The reaction of this kind with the largest lag: `events` that it has not passed yet; `seconds` since it could
    have handled the first of them; `failures` of the event that has failed most often."""

    kind: str
    events: int
    seconds: float
    failures: int


async def lags(engine: AsyncEngine) -> list[Lag]:
    """The lag of every kind of reaction that is at work, under the names that the counters have. All webhooks are one
    kind, however many there are; those that are paused or disabled wait for nobody."""
    kind = func.split_part(reactions.c.name, ":", 1)
    next_seq = reactions.c.position + 1
    waiting = func.extract("epoch", func.now() - events.c.occurred_at) - reactions.c.delay_seconds
    delivered = exists().where(
        webhooks.c.status == ACTIVE, reactions.c.name == literal(REACTION_PREFIX) + cast(webhooks.c.id, Text)
    )
    at_work = reactions.c.active & or_(~reactions.c.name.startswith(REACTION_PREFIX), delivered)
    query = (
        select(
            kind,
            func.max(event_counter.c.last_seq - reactions.c.position),
            func.max(func.greatest(0.0, func.coalesce(waiting, 0.0))),
            func.max(reactions.c.failures),
        )
        .select_from(reactions.join(event_counter, at_work).outerjoin(events, events.c.seq == next_seq))
        .group_by(kind)
        .order_by(kind)
    )
    async with engine.connect() as connection:
        return [Lag(name, behind, float(s), failures) for name, behind, s, failures in await connection.execute(query)]


async def overdue_holds(engine: AsyncEngine, hold_seconds: float) -> int:
    """How many of the oldest thousand orders that expiry has not passed yet are held for longer than they should be."""
    reached = select(reactions.c.position).where(reactions.c.name == _EXPIRY).scalar_subquery()
    oldest = (
        select(orders.c.status, orders.c.placed_at)
        .where(orders.c.placed_seq > func.coalesce(reached, 0))
        .order_by(orders.c.placed_seq)
        .limit(_HOLDS_MAX)
        .subquery()
    )
    held = func.extract("epoch", func.now() - oldest.c.placed_at)
    query = select(func.count()).where(oldest.c.status == PLACED, held > hold_seconds)
    async with engine.connect() as connection:
        return int((await connection.execute(query)).scalar_one())
