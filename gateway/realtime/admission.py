"""Who may subscribe to what: turns topics into addresses, looking up the orders that a customer names."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.identity.caller import Caller
from gateway.realtime.topics import ORDERS, TopicRefused, address
from runtime.engine import VIEW_FAILED
from runtime.tables import orders


async def addresses(engine: AsyncEngine, caller: Caller, topics: Iterable[str]) -> frozenset[str]:
    """The addresses at which the topics' events arrive for this caller. Raises TopicRefused for the first that is
    refused."""
    asked = frozenset(topics)
    found = frozenset(address(topic, caller) for topic in asked)
    named = [UUID(topic.partition("/")[2]) for topic in asked if topic.startswith(f"{ORDERS}/")]
    if named and not caller.actor.is_staff:
        await _refuse_orders_of_others(engine, caller, named)
    return found


async def _refuse_orders_of_others(engine: AsyncEngine, caller: Caller, order_ids: list[UUID]) -> None:
    """Rejects subscriptions to other customers' orders. An order that does not exist may be subscribed to, since it may
    still be in a mailbox; if it turns out to be someone else's, its events are not delivered."""
    theirs = select(orders.c.id).where(orders.c.id.in_(order_ids), orders.c.customer_id != caller.actor.principal)
    try:
        async with engine.connect() as connection:
            order_id = await connection.scalar(theirs.limit(1))
    except VIEW_FAILED:
        raise TopicRefused("database_unavailable", "The order's customer cannot be read now; try again.") from None
    if order_id is not None:
        raise TopicRefused("order_not_found", f"There is no order {order_id}.")
