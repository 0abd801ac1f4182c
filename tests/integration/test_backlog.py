"""The backlog as a gateway sees it in Redis: what it refuses, and that it refuses nothing when it knows nothing."""

import time
from collections.abc import AsyncIterator

import pytest

from gateway.web.problems import Problem
from gateway.writing.backlog import RETRY_MAX_SECONDS, Backlog
from ops.ports import free_port
from runtime.activation import ACTORS, ActivationBroker, activate
from runtime.mailboxes.post import MailboxesUnavailable
from runtime.mailboxes.redis_keys import LEADER_KEY, awake_key, stream_key
from runtime.redis_client import connect
from runtime.redis_pipeline import Client
from tests import servers
from tests.integration.shopfloor import Shopfloor

MAX_SECONDS = 5.0
LONG_AGO_SECONDS = 60


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Client]:
    client = connect(redis_url)
    yield client
    await client.aclose()


def backlog(redis: Client, max_seconds: float = MAX_SECONDS) -> Backlog:
    return Backlog(redis, mailbox_count=3, max_seconds=max_seconds, memory_max_percent=80)


async def post(redis: Client, mailbox: int, *, seconds_ago: float) -> None:
    await redis.xadd(stream_key(mailbox), {"e": "command"}, id=f"{int((time.time() - seconds_ago) * 1000)}-*")


async def test_only_a_mailbox_whose_commands_wait_too_long_is_closed_until_it_is_drained(
    redis: Client,
) -> None:
    await post(redis, 0, seconds_ago=LONG_AGO_SECONDS)
    await post(redis, 1, seconds_ago=0)
    seen = backlog(redis)
    await seen.look()
    with pytest.raises(Problem) as refused:
        seen.admit(0)
    assert (refused.value.code, refused.value.status) == ("overloaded", 503)
    assert refused.value.headers["Retry-After"] == str(RETRY_MAX_SECONDS)
    seen.admit(1)
    seen.admit(2)
    await redis.xtrim(stream_key(0), maxlen=0, approximate=False)
    await seen.look()
    seen.admit(0)


async def test_the_time_to_retry_follows_from_the_drain_rate(redis: Client) -> None:
    for _ in range(1_000):
        await post(redis, 0, seconds_ago=LONG_AGO_SECONDS)
    seen = backlog(redis)
    await seen.look()
    await redis.xtrim(stream_key(0), maxlen=990, approximate=False)
    await seen.look()
    with pytest.raises(Problem) as refused:
        seen.admit(0)
    assert 1 <= int(refused.value.headers["Retry-After"]) < RETRY_MAX_SECONDS


async def test_without_a_bound_nothing_is_refused(redis: Client) -> None:
    await post(redis, 0, seconds_ago=LONG_AGO_SECONDS)
    seen = backlog(redis, max_seconds=0)
    await seen.look()
    seen.admit(0)


async def test_orders_are_refused_while_redis_has_little_memory_left() -> None:
    with servers.shared_valkey() as valkey:
        redis = connect(valkey.url)
        seen = backlog(redis)
        used = (await redis.info("memory"))["used_memory"]
        for share, is_refused in ((0.7, False), (0.9, True), (0.7, False)):
            await redis.config_set("maxmemory", int(used / share))
            await seen.look()
            if is_refused:
                with pytest.raises(Problem, match="memory"):
                    seen.admit(0)
            else:
                seen.admit(0)
        await redis.aclose()


async def test_workers_started_while_redis_has_no_memory_empty_the_mailboxes(database_url: str) -> None:
    with servers.shared_valkey() as valkey:
        async with Shopfloor(database_url, valkey.url) as floor:
            await floor.fill(MUG=10)
            posted = await floor.post_all(floor.place(number % 4, MUG=1) for number in range(8))
            await floor.redis.delete(LEADER_KEY, *map(awake_key, range(4)))
            await floor.redis.config_set("maxmemory", 1)
            with pytest.raises(MailboxesUnavailable):
                await floor.post(floor.place(0, MUG=1))
            assert await floor.inbox.wake(0)
            broker = ActivationBroker(valkey.url)
            await activate(broker, 0)
            assert await floor.redis.llen(ACTORS) == 1
            await broker.shutdown()
            await floor.drain()
            assert await floor.statuses(posted) == ["applied"] * 8
            assert [await floor.waiting(mailbox) for mailbox in range(4)] == [0] * 4
            await floor.redis.config_set("maxmemory", 0)
            await floor.verified()


async def test_what_was_known_is_forgotten_while_redis_is_away(redis: Client) -> None:
    await post(redis, 0, seconds_ago=LONG_AGO_SECONDS)
    seen = backlog(redis)
    await seen.look()
    away = connect(f"redis://127.0.0.1:{free_port()}/0")
    seen._client = away
    await seen.look()
    seen.admit(0)
    await away.aclose()
