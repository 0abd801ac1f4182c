"""Posting: what is accepted is in the mailbox, in order, within its bound, and once per idempotency key."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from domain.model import Command
from domain.stock import ReceiveStock
from ops.embedded import valkey
from ops.embedded.valkey import ValkeyServer
from runtime import envelope as envelopes
from runtime.mailboxes.post import Claim, Known, MailboxesUnavailable, MailboxFull, Poster, PostQueueFull
from runtime.mailboxes.redis_keys import awake_key
from runtime.redis_client import connect
from tests import servers
from tests.integration.shopfloor import STAFF, Shopfloor

CLAIM = Claim("ann", "key-1", b"the first")


async def entries(floor: Shopfloor, mailbox: int = 0) -> list[Command]:
    """The commands that lie in a mailbox, oldest first."""
    found = await floor.inbox.read(mailbox, "0-0", 100_000)
    return [envelopes.decode(entry.fields)[1] for entry in found]


async def wakes(floor: Shopfloor) -> list[int]:
    """The mailboxes that somebody was asked to drain."""
    await floor.poster.close()
    return floor.woken


async def round_trips(floor: Shopfloor) -> int:
    """How often the script was called on this server so far."""
    return int((await floor.redis.info("commandstats")).get("cmdstat_evalsha", {}).get("calls", 0))


async def test_a_posted_command_is_in_its_mailbox_and_somebody_is_asked_to_drain_it(floor: Shopfloor) -> None:
    order = floor.place(2, MUG=1)
    await floor.post(order)
    assert await entries(floor, 2) == [order]
    assert await wakes(floor) == [2]
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
        await floor.post(floor.place(0, MUG=1))  # and so has this one, when it has been drained
        await floor.drain()
        counts = await floor.verified()
        assert counts["mailbox_entries_applied"] == 22


async def test_a_full_mailbox_remembers_no_idempotency_key_of_what_it_refused(
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


async def test_a_process_takes_so_many_commands_at_a_time(database_url: str, redis_url: str) -> None:
    async with Shopfloor(database_url, redis_url, queue_max_commands=10) as floor:
        answers = await asyncio.gather(*(floor.post(floor.place(0, MUG=1)) for _ in range(15)), return_exceptions=True)
        assert [isinstance(answer, PostQueueFull) for answer in answers] == [False] * 10 + [True] * 5
        await floor.post(floor.place(0, MUG=1))
        assert await floor.waiting(0) == 11
        await floor.drain()
        await floor.verified()


async def test_of_fifty_posts_with_one_key_one_is_posted_and_the_others_get_its_claim(floor: Shopfloor) -> None:
    claims = [Claim("ann", "key-1", b"claim %d" % number) for number in range(50)]
    posters = [floor.new_poster(floor.redis) for _ in range(5)]  # as in five gateway processes
    answers = await asyncio.gather(
        *(
            posters[number % 5].post(
                0, envelopes.encode(floor.envelope(floor.place(0, MUG=1), key="key-1")), claims[number]
            )
            for number in range(50)
        )
    )
    (first,) = [number for number, answer in enumerate(answers) if answer is None]
    assert Counter(answers) == {None: 1, Known(claims[first].value, waits=True): 49}
    assert await floor.waiting(0) == 1
    assert await floor.poster.post(0, b"whatever", claims[0]) == Known(claims[first].value, waits=True)
    await floor.drain()
    assert await floor.poster.post(0, b"whatever", claims[0]) == Known(claims[first].value, waits=False)
    counts = await floor.verified()
    assert counts["commands"] == 1


async def test_a_key_is_its_principals_own(floor: Shopfloor) -> None:
    # Principals and keys that would read alike if they were simply written one behind the other.
    claims = [Claim("ann", "k", b"1"), Claim("bob", "k", b"2"), Claim("a", "nn:k", b"3"), Claim("ann:k", "k", b"4")]
    for claim in [*claims, Claim("ann", "k:k", b"5"), Claim("1:a", "k", b"6"), Claim("1", "a:k", b"7")]:
        assert await floor.poster.post(0, b"entry", claim) is None
    assert await floor.poster.post(0, b"entry", claims[0]) == Known(b"1", waits=True)
    assert await floor.waiting(0) == 7
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
    """A Valkey that this test may stop."""
    with servers.folder() as home:
        server = ValkeyServer(home, settings=valkey.NOT_DURABLE)
        server.start()
        yield server
        server.kill()


async def test_while_redis_is_away_every_post_is_told_so_and_afterwards_all_is_well(
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


async def test_one_mailbox_that_cannot_be_written_leaves_the_others_alone(floor: Shopfloor) -> None:
    await floor.redis.set("mailbox:{1}", "no stream")
    answers = await asyncio.gather(
        *(floor.post(floor.place(mailbox, MUG=1)) for mailbox in range(4)), return_exceptions=True
    )
    assert [isinstance(answer, MailboxesUnavailable) for answer in answers] == [False, True, False, False]
    await floor.redis.delete("mailbox:{1}")
    await floor.drain()
    await floor.verified()


async def test_a_request_that_was_given_up_does_not_hurt_the_others_of_its_pipeline(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    given_up = asyncio.create_task(floor.post(floor.place(0, MUG=1)))
    others = [asyncio.create_task(floor.post(floor.place(0, MUG=1))) for _ in range(3)]
    await asyncio.sleep(0)  # all four have posted, none has its answer
    given_up.cancel()
    await asyncio.gather(*others)
    assert await floor.waiting(0) == 4, "what was on its way is accepted all the same"
    await floor.drain()
    assert await floor.stock("MUG") == (10, 4)
    await floor.verified()


async def test_a_call_that_nobody_hears_is_only_a_hint_lost(floor: Shopfloor) -> None:
    async def deaf(mailbox: int) -> None:
        raise ConnectionError("nobody there")

    poster = Poster(
        floor.redis,
        deaf,
        mailbox_max_commands=10,
        queue_max_commands=10,
        awake_milliseconds=60_000,
        idempotency_seconds=60,
    )
    await poster.post(0, envelopes.encode(floor.envelope(ReceiveStock("MUG", 1), actor=STAFF)))
    await poster.close()
    await floor.redis.delete(awake_key(0))  # as time would
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
