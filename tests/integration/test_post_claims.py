"""Idempotency keys: of all posts with the same key one is posted, and the others are referred to it; for how long, and
in how many bytes."""

import asyncio
from collections import Counter

from runtime import envelope as envelopes
from runtime.mailboxes.post import Claim, Known
from runtime.mailboxes.redis_keys import claims_keys
from tests.integration.shopfloor import Shopfloor

CLAIM = Claim("ann", "key-1", b"the first")


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
    # Principals and keys that would read alike if they were simply concatenated.
    claims = [Claim("ann", "k", b"1"), Claim("bob", "k", b"2"), Claim("a", "nn:k", b"3"), Claim("ann:k", "k", b"4")]
    for claim in [*claims, Claim("ann", "k:k", b"5"), Claim("1:a", "k", b"6"), Claim("1", "a:k", b"7")]:
        assert await floor.poster.post(0, b"entry", claim) is None
    assert await floor.poster.post(0, b"entry", claims[0]) == Known(b"1", waits=True)
    assert await floor.waiting(0) == 7
    await floor.drain()
    await floor.verified()


async def test_idempotency_keys_take_so_many_bytes_and_the_oldest_go_first(database_url: str, redis_url: str) -> None:
    bound = 200_000
    async with Shopfloor(database_url, redis_url, idempotency_max_bytes=bound) as floor:
        elsewhere = floor.mailbox_count  # a mailbox that nobody drains

        async def post(number: int) -> Known | None:
            return await floor.poster.post(elsewhere, b"entry", Claim("ann", f"key-{number:06}", b"claim" * 20))

        for first in range(0, 2_000, 50):
            assert await asyncio.gather(*(post(first + number) for number in range(50))) == [None] * 50
        sizes = [await floor.redis.memory_usage(key, samples=0) or 0 for key in claims_keys(elsewhere)]
        assert bound / 4 < sum(sizes) < bound * 1.1
        assert await post(1_999) is not None
        assert await post(1_700) is not None, "more than a few are known"
        assert await post(0) is None, "Postgres knows of it"
        assert await floor.poster.remembers(elsewhere, Claim("ann", "key-001700", b"-"))
        assert not await floor.poster.remembers(elsewhere, Claim("ann", "key-000001", b"-"))


async def test_an_idempotency_key_is_remembered_for_so_long_and_not_for_ever(database_url: str, redis_url: str) -> None:
    async with Shopfloor(database_url, redis_url, idempotency_seconds=100) as floor:
        newer, older = claims_keys(0)
        claims = [Claim("ann", f"key-{number}", b"claim") for number in range(3)]
        assert await floor.poster.post(0, b"entry", claims[0]) is None
        assert 199_000 < await floor.redis.pttl(newer) <= 200_000
        await floor.redis.pexpire(newer, 100_000)  # as after 100 s: the next one begins a generation
        assert await floor.poster.post(0, b"entry", claims[1]) is None
        assert 99_000 < await floor.redis.pttl(older) <= 100_000
        assert await floor.poster.post(0, b"entry", claims[2]) is None
        assert 199_000 < await floor.redis.pttl(newer) <= 200_000
        for claim in claims:
            assert await floor.poster.post(0, b"entry", claim) == Known(b"claim", waits=True)
        await floor.redis.delete(older)  # as after 200 s
        assert [await floor.poster.remembers(0, claim) for claim in claims] == [False, False, True]
