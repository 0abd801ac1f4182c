"""Token buckets that processes share: quotas hold across processes, whatever their clocks do."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from gateway.limits.buckets import ANSWER_SECONDS, Buckets
from gateway.limits.policy import Policy, Standing
from ops.embedded import valkey
from ops.embedded.valkey import ValkeyServer
from runtime.redis_client import connect
from tests import servers
from tests.system import eventually_seen

# So slow that nothing comes in during a test.
SLOW = 0.001
FEW = Policy("few", SLOW, 40)
MANY = Policy("many", SLOW, 6_400)
KEY = "bucket:few:ann"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with connect(redis_url) as client:
        yield client


@pytest.fixture
async def processes(redis_url: str) -> AsyncIterator[list[Buckets]]:
    """As two gateway processes have them."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(redis_url, answer_timeout=ANSWER_SECONDS)) for _ in "ab"]
        found = [Buckets(client) for client in clients]
        for buckets in found:
            stack.push_async_callback(buckets.close)
        yield found


def granted(standings: list[Standing]) -> int:
    return [standing.granted for standing in standings].count(True)


async def race(processes: list[Buckets], policy: Policy, count: int, subject: str = "ann") -> list[Standing]:
    """This many concurrent requests, round robin over the processes."""
    return await asyncio.gather(*(processes[number % len(processes)].take(policy, subject) for number in range(count)))


def alone() -> float:
    return REGISTRY.get_sample_value("tidegate_throttle_local_total") or 0.0


async def test_a_hundred_at_once_take_exactly_the_quota(processes: list[Buckets]) -> None:
    before = alone()
    standings = await race(processes, FEW, 100)
    assert granted(standings) == 40
    assert sorted(int(standing.left) for standing in standings if standing.granted) == [*range(40)]
    assert granted(await race(processes, FEW, 10)) == 0
    assert granted(await race(processes, FEW, 10, "bob")) == 10
    assert alone() == before


async def test_a_large_quota_is_exceeded_by_no_more_than_the_credit_of_each_process(
    processes: list[Buckets], redis: Redis
) -> None:
    assert MANY.credit == 100
    calls = await _calls(redis)
    taken = 0
    while more := granted(await race(processes, MANY, 500)):
        taken += more
    assert MANY.burst <= taken <= MANY.burst + 2 * MANY.credit
    assert await _calls(redis) - calls < MANY.burst / 20, "most were let in without asking"


async def test_infrequent_callers_leave_nothing_in_redis(processes: list[Buckets], redis: Redis) -> None:
    for number in range(200):
        await processes[0].take(MANY, f"customer-{number}")
    assert await redis.dbsize() == 0


async def test_an_empty_bucket_refuses_without_redis_until_the_next_token(
    processes: list[Buckets], redis: Redis
) -> None:
    policy = Policy("soon", 5, 2)
    await race(processes[:1], policy, 2)
    calls = await _calls(redis)
    standings = [await processes[0].take(policy, "ann") for _ in range(50)]
    assert granted(standings) <= 2
    assert await _calls(redis) - calls <= 3
    await eventually_seen("another token", lambda: _is_let_in(processes[1], policy), within_seconds=5)


async def _is_let_in(buckets: Buckets, policy: Policy) -> bool:
    return (await buckets.take(policy, "ann")).granted


async def test_what_is_given_back_can_be_taken_elsewhere(processes: list[Buckets], redis: Redis) -> None:
    policy = Policy("few", SLOW, 2, exact=True)
    assert granted(await race(processes, policy, 4)) == 2
    assert (await processes[0].give_back(policy, "ann")).left == pytest.approx(1, abs=0.1)
    assert granted(await race(processes[1:], policy, 4)) == 1
    for _ in range(5):
        stands = await processes[0].give_back(policy, "ann")
    assert stands.left == policy.burst, "a burst is the most there is"
    assert await redis.dbsize() == 0, "a full bucket is not kept"
    assert granted(await race(processes, policy, 4)) == 2


async def test_looking_takes_no_token_and_sees_those_taken_elsewhere(processes: list[Buckets], redis: Redis) -> None:
    policy = Policy("few", SLOW, 2, exact=True)
    assert granted([await processes[0].look(policy, "ann") for _ in range(5)]) == 5
    assert await redis.dbsize() == 0, "a full bucket is not kept"
    assert granted(await race(processes[1:], policy, 4)) == 2
    assert not (await processes[0].look(policy, "ann")).granted


async def test_every_bucket_ends_when_it_would_be_full(processes: list[Buckets], redis: Redis) -> None:
    await race(processes, FEW, 10)
    assert 9_000 < await redis.pttl(KEY) / 1_000 <= 10_000


async def test_a_clock_that_goes_back_takes_nothing_away_and_brings_nothing(
    processes: list[Buckets], redis: Redis
) -> None:
    await redis.set(KEY, f"7 {time.time() + 3_600}")  # as a server wrote it whose clock was then put right
    assert granted(await race(processes, FEW, 20)) == 7
    kept = await redis.get(KEY)
    assert kept is not None
    assert float(kept.split()[1]) <= time.time() + 1, "from now on it goes by the new time"


async def test_a_clock_that_leaps_ahead_fills_a_bucket_and_no_more(processes: list[Buckets], redis: Redis) -> None:
    await redis.set(KEY, "-40 1000")
    assert granted(await race(processes, FEW, 100)) == 40


@pytest.fixture
def own_valkey() -> Iterator[ValkeyServer]:
    """A Valkey that this test may stop."""
    with servers.folder() as home:
        server = ValkeyServer(home, settings=valkey.NOT_DURABLE)
        server.start()
        yield server
        server.kill()


async def test_without_redis_each_process_goes_on_by_itself_and_afterwards_together(own_valkey: ValkeyServer) -> None:
    async with connect(own_valkey.url, answer_timeout=ANSWER_SECONDS) as first, connect(own_valkey.url) as second:
        processes = [Buckets(first), Buckets(second)]
        assert granted(await race(processes, FEW, 10)) == 10
        await asyncio.to_thread(own_valkey.stop)
        before = alone()
        alone_granted = [granted([await each.take(FEW, "ann") for _ in range(60)]) for each in processes]
        assert all(30 <= count <= 35 for count in alone_granted), "each knew of some of the first ten"
        assert alone() - before == 120
        await asyncio.to_thread(own_valkey.start)
        await eventually_seen("Redis asked again", lambda: _asks(processes, first), within_seconds=10)
        # What each let in by itself is owed, and the bucket knows it now: nobody gets another forty.
        assert granted(await race(processes, FEW, 100)) == 0
        for each in processes:
            await each.close()


async def _asks(processes: list[Buckets], client: Redis) -> bool:
    """Whether both ask Redis again; each for a caller not seen before."""
    before = alone()
    for each in processes:
        await each.take(FEW, f"somebody-{id(each)}-{before}")
    return alone() == before


async def _calls(redis: Redis) -> int:
    """How often a bucket was asked for."""
    stats = await redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha"))
