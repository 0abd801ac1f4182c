"""Reactions are requested when something happens and when they are due, no more often than that, and numerous ones
leave room for the others."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from domain.stock import ReceiveStock
from runtime.activation import BACKGROUND, REACT_TASK, ActivationBroker
from runtime.feed import EVENTS_CHANNEL
from runtime.records import EventRecord
from tests.integration.reacting import Told, tools
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.system import eventually_seen
from workers.headlines import Headlines
from workers.reactions import supervisor as supervisors
from workers.reactions.core import Fixed, Reaction, Source
from workers.reactions.supervisor import Supervisor


@asynccontextmanager
async def supervisor(
    floor: Shopfloor, *names: str, sources: Sequence[Source] = (), **settings: Any
) -> AsyncIterator[Any]:
    """A started supervisor, and its reactions by name."""
    async with tools(floor, **settings) as given:
        reactions = {name: Told(given.config) for name in names}
        for name, reaction in reactions.items():
            reaction.name = name
        broker = ActivationBroker(floor.redis_url, BACKGROUND)
        found = Supervisor(given, broker, [*sources, Fixed(*reactions.values())])
        try:
            async with Headlines(floor.redis_url, [found.hear]):
                await found.start()
                yield found, reactions
        finally:
            await found.stop()
            await broker.shutdown()


async def asked_for(floor: Shopfloor) -> list[str]:
    """The reactions requested in the queue, oldest first."""
    messages: Any = await floor.redis.lrange(BACKGROUND, 0, -1)
    decoded = [json.loads(message) for message in reversed(messages)]
    return [message["args"][0] for message in decoded if message["task_name"] == REACT_TASK]


async def receive(floor: Shopfloor, count: int = 1) -> None:
    await floor.post_all((ReceiveStock("TEA", 1) for _ in range(count)), actor=STAFF)
    await floor.drain()


async def _only_told_is_asked_for(floor: Shopfloor) -> None:
    """Fails unless, after an event, only `told` of all reactions is requested."""
    await floor.redis.delete(BACKGROUND)
    await receive(floor)

    async def is_asked_for() -> bool:
        return bool(await asked_for(floor))

    await eventually_seen("a reaction asked for", is_asked_for, within_seconds=5)
    assert await asked_for(floor) == ["told"]


async def test_interested_reactions_are_requested_when_an_event_happens(floor: Shopfloor) -> None:
    await floor.fill(TEA=0)
    async with supervisor(floor, "told", "other") as (_, reactions):
        reactions["other"].interests = frozenset({"order.placed"})
        await _only_told_is_asked_for(floor)


async def test_however_much_happens_it_is_requested_only_now_and_then(floor: Shopfloor) -> None:
    await floor.fill(TEA=0)
    async with supervisor(floor, "told", "last") as (_, reactions):
        reactions["last"].interests = frozenset({"the.end"})
        await floor.redis.delete(BACKGROUND)
        message = '[[1,"stock.received"]]'
        begun = asyncio.get_running_loop().time()
        await floor.publisher.publish([(EVENTS_CHANNEL, message)] * 2_000 + [(EVENTS_CHANNEL, '[[2,"the.end"]]')])

        async def is_over() -> bool:
            return {"told", "last"} <= set(await asked_for(floor))

        await eventually_seen("all of it heard", is_over, within_seconds=10)
        took = asyncio.get_running_loop().time() - begun
        asked = (await asked_for(floor)).count("told")
        assert asked <= took / supervisors.KICK_INTERVAL_SECONDS + 2


async def test_a_delayed_reaction_is_not_requested_when_events_happen(floor: Shopfloor) -> None:
    await floor.fill(TEA=0)
    async with supervisor(floor, "told", "slow") as (_, reactions):
        reactions["slow"].delay_seconds = 60.0
        await _only_told_is_asked_for(floor)


async def test_tending_requests_those_that_are_due_once_a_second(floor: Shopfloor) -> None:
    await floor.fill(TEA=3)
    async with supervisor(floor, "told", "told:1") as (found, _):
        assert sorted(await asked_for(floor)) == ["told", "told:1"]  # those that existed when it started
        for _ in range(20):
            await found.tend()
        assert len(await asked_for(floor)) == 2
        await found.react("told")
        await found.react("told:1")
        await floor.redis.delete(BACKGROUND)
        found._refreshed_at = float("-inf")  # a second later
        await found.tend()
        assert await asked_for(floor) == []


async def test_a_source_that_fails_holds_up_no_other(floor: Shopfloor) -> None:
    class Broken:
        async def reactions(self) -> Sequence[Reaction]:
            raise ValueError("no idea")

    await floor.fill(TEA=3)
    async with supervisor(floor, "told", sources=[Broken()]) as (found, reactions):
        await found.react("told")
        assert len(reactions["told"].handled) == 1


async def test_numerous_reactions_leave_room_for_the_others(floor: Shopfloor) -> None:
    await floor.fill(TEA=3)
    many = [f"hook:{number}" for number in range(5)]
    async with supervisor(floor, "told", *many, background_concurrency=4) as (found, reactions):
        entered = asyncio.Semaphore(0)

        async def hang(record: EventRecord) -> None:
            entered.release()
            await asyncio.Event().wait()

        for name in many:
            reactions[name].before = hang
        hanging = [asyncio.create_task(found.react(name)) for name in many[:3]]
        for _ in hanging:
            await entered.acquire()
        # No room for a fourth; single reactions have their own.
        await found.react(many[3])
        assert reactions[many[3]].tried == []
        await found.react("told")
        assert len(reactions["told"].handled) == 1
    # Those that hung were cancelled, and have released their leases.
    await asyncio.gather(*hanging)
    assert await floor.pool.fetchval("SELECT count(*) FROM reactions WHERE lease_token IS NOT NULL") == 0


async def test_an_unknown_reaction_is_not_run(floor: Shopfloor) -> None:
    await floor.fill(TEA=3)
    async with supervisor(floor, "told") as (found, _):
        await found.react("gone:1")
        assert await asked_for(floor) == ["told"]


async def test_a_reaction_that_postgres_has_forgotten_is_made_known_again(floor: Shopfloor) -> None:
    """Postgres was started afresh, or put back to before there was such a reaction, while processes went on."""
    await floor.fill(TEA=3)
    async with supervisor(floor, "told") as (found, _):
        await found.react("told")
        await found._positions._pool.execute("DELETE FROM reactions")
        await floor.redis.delete(BACKGROUND)
        found._refreshed_at = float("-inf")  # a second later
        await found.tend()
        assert await asked_for(floor) == ["told"]
