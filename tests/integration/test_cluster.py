"""Redis clients and the mailboxes on a real Valkey Cluster: three primaries and their replicas."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import pytest
import pytest_asyncio

from ops.doctor.redis import of_redis
from ops.embedded.cluster import ValkeyCluster
from runtime import envelope as envelopes
from runtime.activation import ACTORS, ActivationBroker, activate
from runtime.feed import EVENTS_CHANNEL, Listener, Publisher
from runtime.mailboxes.post import Claim, Known, MailboxesUnavailable
from runtime.mailboxes.redis_keys import LOG_KEY, stream_key
from runtime.redis_client import connect, info, is_durable
from runtime.redis_cluster import NodeUnavailable
from runtime.redis_pipeline import Client, Copies, NotCopied, Script
from runtime.settings import Settings
from tests import pace
from tests.integration.nodes import another, killed, owner_of, paused, slot_of
from tests.integration.shopfloor import Shopfloor
from tests.moving import Move, move
from tests.system import eventually_seen

pytestmark = pytest.mark.campaign

_EVERYWHERE: Final = [f"key-{number}" for number in range(60)]
_MAILBOX_ON: Final = {"first": 3, "second": 1, "third": 0}
_SLOW_SECONDS: Final = 0.5
_COPIES: Final = Copies(1, 600)


@pytest_asyncio.fixture
async def client(fresh: ValkeyCluster) -> AsyncIterator[Client]:
    connected = connect(fresh.url)
    try:
        yield connected
    finally:
        await connected.aclose()


async def test_a_pipeline_goes_to_all_nodes_and_its_answers_keep_their_order(client: Client) -> None:
    pipeline = client.pipeline(transaction=False)
    for key in _EVERYWHERE:
        pipeline.set(key, key)
        pipeline.get(key)
    answers = await pipeline.execute()
    assert answers[::2] == [True] * len(_EVERYWHERE)
    assert answers[1::2] == [key.encode() for key in _EVERYWHERE]


async def test_every_node_learns_a_script(client: Client) -> None:
    """The second time, nobody has to be told."""
    script = Script("return {KEYS[1], ARGV[1]}")
    for _ in range(2):
        pipeline = client.pipeline(transaction=False)
        for number, key in enumerate(_EVERYWHERE):
            script.add(pipeline, [key], [number])
        said = [[key.encode(), str(number).encode()] for number, key in enumerate(_EVERYWHERE)]
        assert await pipeline.execute() == said


async def test_a_slot_is_followed_while_it_moves_and_afterwards(fresh: ValkeyCluster, client: Client) -> None:
    old = owner_of(fresh, "{x}")
    moving = Move(fresh, slot_of("{x}"), another(fresh, old))
    before = client.lane("{x}")
    both = Script("return {redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])}")
    await asyncio.gather(client.set("{x}1", 1), client.set("{x}2", 2))
    moving.begin()
    moving.take("{x}1")
    assert [await client.get("{x}1"), await client.get("{x}2")] == [b"1", b"2"]
    await client.set("{x}3", 3)
    assert await client.get("{x}3") == b"3"
    with pytest.raises(NodeUnavailable, match="moving"):  # its keys are on two nodes
        await both(client, ["{x}1", "{x}2"], [])
    asked = asyncio.create_task(both(client, ["{x}1", "{x}2"], []))
    await asyncio.to_thread(moving.end)
    assert await asked == [b"1", b"2"]
    assert await client.incr("{x}3") == 4
    assert client.lane("{x}") != before
    await asyncio.to_thread(move, fresh, slot_of("{x}"), old)
    assert await client.incr("{x}3") == 5


async def test_a_node_that_says_nothing_holds_up_nobody_else(fresh: ValkeyCluster) -> None:
    patience = pace.seconds(_SLOW_SECONDS)
    client = connect(fresh.url, answer_timeout=patience)
    try:
        await asyncio.gather(*(client.set(key, key) for key in _EVERYWHERE))
        silent = owner_of(fresh, _EVERYWHERE[0])
        mute = {key for key in _EVERYWHERE if owner_of(fresh, key) is silent}
        with paused(silent):
            for attempt in range(2):
                pipeline = client.pipeline(transaction=False)
                for key in _EVERYWHERE:
                    pipeline.get(key)
                begun = time.monotonic()
                answers = dict(zip(_EVERYWHERE, await pipeline.execute(raise_on_error=False), strict=True))
                if attempt:
                    assert time.monotonic() - begun < patience, "it was waited for again"
                assert {key for key, answer in answers.items() if isinstance(answer, NodeUnavailable)} == mute
                assert all(answers[key] == key.encode() for key in _EVERYWHERE if key not in mute)
            with pytest.raises(NodeUnavailable):
                await client.get(_EVERYWHERE[0])

        async def is_back() -> bool:
            try:
                return await client.get(_EVERYWHERE[0]) == _EVERYWHERE[0].encode()
            except NodeUnavailable:
                return False

        await eventually_seen("the node again", is_back, within_seconds=10)
    finally:
        await client.aclose()


async def test_what_too_few_replicas_have_is_not_accepted_nor_is_its_repetition(
    fresh: ValkeyCluster, client: Client, database_url: str
) -> None:
    here, elsewhere = _MAILBOX_ON["first"], _MAILBOX_ON["second"]
    async with Shopfloor(database_url, fresh.url, copies=_COPIES) as floor:
        await floor.fill(MUG=10)
        entry = envelopes.encode(floor.envelope(floor.place(here, MUG=1)))
        claim = Claim("ann", "a key", b"the first")
        # The second has a connection of its own, on which nothing was written that replicas could be waited for.
        gateways = floor.poster, floor.new_poster(client)
        with paused(fresh.replica_of(owner_of(fresh, stream_key(here)))):
            for gateway in gateways:
                with pytest.raises(MailboxesUnavailable, match="replicas"):
                    await gateway.post(here, entry, claim)
            slow = asyncio.create_task(floor.post(floor.place(here, MUG=1)))
            while not floor.poster.queued:
                await asyncio.sleep(0)
            await asyncio.sleep(0)  # it is on its way
            await floor.post(floor.place(elsewhere, MUG=1))
            assert not slow.done(), "another node's commands waited with it"
            with pytest.raises(MailboxesUnavailable) as unconfirmed:
                await slow
        assert isinstance(unconfirmed.value.__cause__, NotCopied)

        async def is_accepted() -> bool:
            with suppress(MailboxesUnavailable):
                return await gateways[1].post(here, entry, claim) == Known(claim.value, waits=True)
            return False

        await eventually_seen("the first, with the replica's consent", is_accepted, within_seconds=5)
        await floor.drain()
        assert await floor.stock("MUG") == (10, 3)
        await floor.verified()


async def test_messages_reach_listeners_at_every_node_in_order(fresh: ValkeyCluster) -> None:
    heard: list[list[str]] = []
    listeners = []
    for node in fresh.nodes:
        said: list[str] = []
        heard.append(said)
        alone = f"redis+cluster://:{node.password}@127.0.0.1:{node.port}"
        listeners.append(Listener(alone, {EVENTS_CHANNEL: said.append}, lambda: None))
    publisher = Publisher(fresh.url)
    try:
        for listener in listeners:
            await listener.start()
        for start in (0, 50):
            await publisher.publish([(EVENTS_CHANNEL, str(number)) for number in range(start, start + 50)])
        expected = [str(number) for number in range(100)]

        async def all_heard() -> bool:
            return all(said == expected for said in heard)

        await eventually_seen("all messages at all nodes", all_heard, within_seconds=10)
    finally:
        await publisher.close()
        for listener in listeners:
            await listener.stop()


async def test_activations_get_through_while_a_node_is_away(fresh: ValkeyCluster) -> None:
    broker = ActivationBroker(fresh.url)
    listening = broker.listen()
    try:
        with killed(owner_of(fresh, ACTORS)):
            for number in range(20):
                await activate(broker, number)
            async with asyncio.timeout(pace.seconds(5)):
                assert len([await anext(listening) for _ in range(20)]) == 20
    finally:
        await listening.aclose()
        await broker.shutdown()


async def test_orders_in_all_mailboxes_are_applied(fresh: ValkeyCluster, database_url: str) -> None:
    async with Shopfloor(database_url, fresh.url, copies=Copies(1, 2_000)) as floor:
        await floor.fill(MUG=1_000)
        posted = await floor.post_all(floor.place(number % 4, MUG=1) for number in range(100))
        await floor.drain()
        assert await floor.statuses(posted) == ["applied"] * 100
        await floor.verified()


async def test_a_waiting_worker_sees_entries_on_every_node(fresh: ValkeyCluster, database_url: str) -> None:
    async with Shopfloor(database_url, fresh.url) as floor:
        await floor.fill(MUG=10)
        positions = dict.fromkeys(range(4), "0-0")

        async def all_wait() -> bool:
            said = [await server.info("clients") for server in await floor.redis.servers()]
            return sum(int(each["blocked_clients"]) for each in said) >= len(positions)

        for mailbox in _MAILBOX_ON.values():
            waiting = asyncio.create_task(floor.inbox.read_each(positions, 10, wait_milliseconds=2_000))
            await eventually_seen("a wait for each mailbox", all_wait, within_seconds=10)
            await floor.post(floor.place(mailbox, MUG=1))
            async with asyncio.timeout(5):
                assert set(await waiting) == {mailbox}
            await floor.drain()


async def test_the_doctor_and_the_figures_see_every_node(fresh: ValkeyCluster, client: Client) -> None:
    config = Settings(redis_url=fresh.url, accept_min_replicas=1)
    found = {each.check: each.level for each in await of_redis(config)}
    assert "failure" not in found.values()
    assert found["redis replicas"] == "warning", "one of each, and it must have everything"
    assert await is_durable(client)
    assert [bool(said and said["maxmemory"] == 0) for said in await info(client, "memory", "persistence")] == [True] * 3
    with killed(owner_of(fresh, LOG_KEY)):
        assert (await info(client, "memory")).count(None) == 1
