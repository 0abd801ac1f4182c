"""Posting: what is accepted is in the mailbox, in order and within its bound."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY

from domain.model import Command
from domain.stock import ReceiveStock
from ops.embedded import valkey
from ops.embedded.valkey import ValkeyServer
from runtime import envelope as envelopes
from runtime import logs
from runtime.mailboxes.post import Claim, MailboxesUnavailable, MailboxFull, Poster, PostQueueFull
from runtime.mailboxes.redis_keys import awake_key, stream_key, weight_key
from runtime.redis_client import connect
from tests import servers
from tests.integration.shopfloor import STAFF, Shopfloor

CLAIM = Claim("ann", "key-1", b"the first")


async def entries(floor: Shopfloor, mailbox: int = 0) -> list[Command]:
    """The commands in a mailbox, oldest first."""
    found = await floor.inbox.read(mailbox, "0-0", 100_000)
    return [envelopes.decode(entry.fields)[1] for entry in found]


async def wakes(floor: Shopfloor) -> list[int]:
    """The mailboxes that activations were sent for."""
    await floor.poster.close()
    return floor.woken


async def round_trips(floor: Shopfloor) -> int:
    """How often the script has been called on this server."""
    return int((await floor.redis.info("commandstats")).get("cmdstat_evalsha", {}).get("calls", 0))


async def test_a_posted_command_is_in_its_mailbox_and_wakes_it(floor: Shopfloor) -> None:
    order = floor.place(2, MUG=1)
    await floor.post(order)
    assert await entries(floor, 2) == [order]
    assert await wakes(floor) == [2]
    await floor.drain()
    await floor.verified()


async def test_a_shared_pipeline_is_logged_without_a_request_s_id(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = []

    async def wake(mailbox: int) -> None:
        named.append(logs.ids())

    monkeypatch.setattr(floor.poster, "_wake", wake)
    with logs.about(request_id=b"of the first"):
        await floor.post(floor.place(2, MUG=1))
    await floor.poster.close()
    assert named == [{}]
    await floor.drain()
    await floor.verified()


async def test_concurrent_posts_travel_together_and_keep_their_order(floor: Shopfloor) -> None:
    await floor.post(floor.place(0, MUG=1))
    before = await round_trips(floor)
    orders = [floor.place(number % floor.mailbox_count, MUG=1) for number in range(800)]
    await floor.post_all(orders)
    assert await round_trips(floor) - before <= 2 * floor.mailbox_count, "800 posts in at most two pipelines"
    for mailbox in range(floor.mailbox_count):
        posted = [order for order in orders if floor.mailbox_of(order) == mailbox]
        assert (await entries(floor, mailbox))[-len(posted) :] == posted
    assert Counter(await wakes(floor)) == Counter(range(floor.mailbox_count)), "each was woken once"
    await floor.drain()
    await floor.verified()


async def test_every_round_trip_is_timed_however_it_ends(floor: Shopfloor) -> None:
    def timed() -> float:
        return REGISTRY.get_sample_value("tidegate_post_seconds_count") or 0.0

    before = timed()
    await floor.post_all([floor.place(1, MUG=1) for _ in range(50)])
    assert 1 <= timed() - before <= 2
    before = timed()
    async with connect("redis://127.0.0.1:1") as nowhere:
        floor.poster._client = nowhere
        with pytest.raises(MailboxesUnavailable):
            await floor.post(floor.place(1, MUG=1))
    assert timed() == before + 1
    floor.poster._client = floor.redis
    await floor.drain()
    await floor.verified()


async def test_an_awake_mailbox_is_not_woken_again(floor: Shopfloor) -> None:
    await floor.post_all(floor.place(1, MUG=1) for _ in range(5))
    await floor.post(floor.place(1, MUG=1))
    assert await wakes(floor) == [1]
    await floor.redis.delete(awake_key(1))
    await floor.post(floor.place(1, MUG=1))
    assert await wakes(floor) == [1, 1]
    await floor.drain()
    await floor.verified()


async def test_a_mailbox_takes_commands_up_to_its_bound_and_then_says_that_it_is_full(
    database_url: str, redis_url: str
) -> None:
    async with Shopfloor(database_url, redis_url, mailbox_max_commands=20) as floor:
        orders = [floor.place(0, MUG=1) for _ in range(30)]
        answers = await asyncio.gather(*(floor.post(order) for order in orders), return_exceptions=True)
        assert [isinstance(answer, MailboxFull) for answer in answers] == [False] * 20 + [True] * 10
        assert await entries(floor) == orders[:20]
        with pytest.raises(MailboxFull):
            await floor.post(floor.place(0, MUG=1))
        await floor.post(floor.place(1, MUG=1))  # the others have room
        await floor.drain()
        await floor.post(floor.place(0, MUG=1))  # and so has this one, once it is drained
        await floor.drain()
        counts = await floor.verified()
        assert counts["mailbox_entries_applied"] == 22


async def test_a_mailbox_takes_commands_up_to_its_bound_in_bytes(database_url: str, redis_url: str) -> None:
    bound = 20_000
    async with Shopfloor(database_url, redis_url, mailbox_max_bytes=bound) as floor:
        await floor.fill(MUG=1_000)
        orders = [floor.place(0, MUG=1) for _ in range(300)]
        answers = await asyncio.gather(*(floor.post(order) for order in orders), return_exceptions=True)
        accepted = [order for order, answer in zip(orders, answers, strict=True) if not isinstance(answer, Exception)]
        assert {type(answer) for answer in answers if isinstance(answer, Exception)} == {MailboxFull}
        assert await entries(floor) == accepted
        waiting = await floor.redis.memory_usage(stream_key(0), samples=0) or 0
        assert bound / 2 < waiting < bound * 1.2
        for _ in range(2):  # by the count, and by the measurement when that has expired
            with pytest.raises(MailboxFull):
                await floor.post(floor.place(0, MUG=1))
            await floor.redis.delete(weight_key(0))
        await floor.post(floor.place(1, MUG=1))  # the others have room
        await floor.drain()
        await floor.post(floor.place(0, MUG=1))  # and so has this one, once it is drained
        await floor.drain()
        counts = await floor.verified()
        assert counts["orders"] == len(accepted) + 2


async def test_a_mailbox_is_weighed_anew_every_second_while_it_is_being_emptied(
    database_url: str, redis_url: str
) -> None:
    async with Shopfloor(database_url, redis_url, mailbox_max_bytes=20_000) as floor:
        elsewhere = floor.mailbox_count  # a mailbox that is never drained
        posts = (floor.poster.post(elsewhere, b"x" * 1_000) for _ in range(30))
        assert MailboxFull in map(type, await asyncio.gather(*posts, return_exceptions=True))
        await floor.redis.xtrim(stream_key(elsewhere), maxlen=5, approximate=False)
        assert 0 < await floor.redis.pttl(weight_key(elsewhere)) <= 1_000
        await floor.redis.delete(weight_key(elsewhere))  # as its expiry would
        assert await floor.poster.post(elsewhere, b"x" * 1_000) is None


async def test_a_command_larger_than_the_bound_is_taken_by_an_empty_mailbox(database_url: str, redis_url: str) -> None:
    async with Shopfloor(database_url, redis_url, mailbox_max_bytes=1) as floor:
        await floor.fill(MUG=2)
        large = ReceiveStock("MUG", 1, "x" * 400)
        for _ in range(2):
            await floor.post(large, actor=STAFF)
            with pytest.raises(MailboxFull):
                await floor.post(large, actor=STAFF)
            await floor.drain()
        assert await floor.stock("MUG") == (4, 0)
        await floor.verified()


async def test_a_full_mailbox_remembers_no_idempotency_key_of_refused_commands(
    database_url: str, redis_url: str
) -> None:
    async with Shopfloor(database_url, redis_url, mailbox_max_commands=1) as floor:
        await floor.post(floor.place(0, MUG=1))
        order = floor.place(0, MUG=1)
        with pytest.raises(MailboxFull):
            await floor.post(order, claim=CLAIM)
        await floor.drain()
        await floor.post(order, claim=CLAIM)
        assert await entries(floor) == [order]
        await floor.drain()
        await floor.verified()


async def test_a_process_takes_a_limited_number_of_commands_at_a_time(database_url: str, redis_url: str) -> None:
    async with Shopfloor(database_url, redis_url, queue_max_commands=10) as floor:
        answers = await asyncio.gather(*(floor.post(floor.place(0, MUG=1)) for _ in range(15)), return_exceptions=True)
        assert [isinstance(answer, PostQueueFull) for answer in answers] == [False] * 10 + [True] * 5
        await floor.post(floor.place(0, MUG=1))
        assert await floor.waiting(0) == 11
        await floor.drain()
        await floor.verified()


async def test_a_redis_that_has_forgotten_the_script_learns_it_again(floor: Shopfloor) -> None:
    orders = [floor.place(0, MUG=1)]
    await floor.post(orders[0])
    await floor.redis.script_flush()
    more = [floor.place(number % floor.mailbox_count, MUG=1) for number in range(40)]
    await floor.post_all(more)
    for mailbox in range(floor.mailbox_count):
        posted = [order for order in orders + more if floor.mailbox_of(order) == mailbox]
        assert await entries(floor, mailbox) == posted
    await floor.drain()
    await floor.verified()


@pytest.fixture
def own_valkey() -> Iterator[ValkeyServer]:
    """A Valkey that the test may stop."""
    with servers.folder() as home:
        server = ValkeyServer(home, settings=valkey.NOT_DURABLE)
        server.start()
        yield server
        server.kill()


async def test_while_redis_is_away_every_post_fails_and_afterwards_all_succeed(
    database_url: str, own_valkey: ValkeyServer
) -> None:
    async with Shopfloor(database_url, own_valkey.url) as floor:
        before = await floor.post_all(floor.place(number % 4, MUG=1) for number in range(20))
        await asyncio.to_thread(own_valkey.stop)
        answers = await asyncio.gather(
            *(floor.post(floor.place(number % 4, MUG=1)) for number in range(20)), return_exceptions=True
        )
        assert {type(answer) for answer in answers} == {MailboxesUnavailable}
        await asyncio.to_thread(own_valkey.start)
        after = await floor.post_all(floor.place(number % 4, MUG=1) for number in range(20))
        await floor.drain()
        assert set(await floor.settled()) == {*before, *after}
        counts = await floor.verified()
        assert counts["commands"] == 40


async def test_a_redis_that_cannot_write_accepts_nothing(floor: Shopfloor) -> None:
    await floor.post(floor.place(0, MUG=1))
    await floor.redis.config_set("maxmemory", "1")  # refuses every write, as a full one does
    try:
        with pytest.raises(MailboxesUnavailable, match="maxmemory"):
            await floor.post(floor.place(0, MUG=1))
    finally:
        await floor.redis.config_set("maxmemory", "0")
    await floor.post(floor.place(0, MUG=1))
    await floor.drain()
    counts = await floor.verified()
    assert counts["commands"] == 2


async def test_one_mailbox_that_cannot_be_written_does_not_affect_the_others(floor: Shopfloor) -> None:
    await floor.redis.set("mailbox:{1}", "no stream")
    answers = await asyncio.gather(
        *(floor.post(floor.place(mailbox, MUG=1)) for mailbox in range(4)), return_exceptions=True
    )
    assert [isinstance(answer, MailboxesUnavailable) for answer in answers] == [False, True, False, False]
    await floor.redis.delete("mailbox:{1}")
    await floor.drain()
    await floor.verified()


async def test_a_cancelled_request_does_not_affect_the_others_of_its_pipeline(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    given_up = asyncio.create_task(floor.post(floor.place(0, MUG=1)))
    others = [asyncio.create_task(floor.post(floor.place(0, MUG=1))) for _ in range(3)]
    await asyncio.sleep(0)  # all four have posted, none has its answer
    given_up.cancel()
    await asyncio.gather(*others)
    assert await floor.waiting(0) == 4, "what had been sent is accepted all the same"
    await floor.drain()
    assert await floor.stock("MUG") == (10, 4)
    await floor.verified()


async def test_a_lost_activation_is_only_a_lost_hint(floor: Shopfloor) -> None:
    async def deaf(mailbox: int) -> None:
        raise ConnectionError("nobody there")

    poster = Poster(
        floor.redis,
        deaf,
        mailbox_max_commands=10,
        mailbox_max_bytes=100_000,
        queue_max_commands=10,
        awake_milliseconds=60_000,
        idempotency_seconds=60,
        idempotency_max_bytes=100_000,
    )
    await poster.post(0, envelopes.encode(floor.envelope(ReceiveStock("MUG", 1), actor=STAFF)))
    await poster.close()
    await floor.redis.delete(awake_key(0))  # as its expiry would
    assert await floor.forgotten() == [0]
    await floor.drain(0)
    await floor.verified()


async def test_a_poster_that_closes_sends_what_it_has_first(floor: Shopfloor) -> None:
    client = connect(floor.redis_url)
    poster = floor.new_poster(client)
    posts = [
        asyncio.create_task(poster.post(0, envelopes.encode(floor.envelope(floor.place(0, MUG=1))))) for _ in range(5)
    ]
    await asyncio.sleep(0)
    await poster.close()
    await client.aclose()
    assert await asyncio.gather(*posts) == [None] * 5
    await floor.drain()
    await floor.verified()
