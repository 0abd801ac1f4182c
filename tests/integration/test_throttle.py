"""Guessing is slowed, per account and per address, and a stranger locks nobody out."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from gateway.identity.throttle import Throttle
from gateway.web.problems import Problem
from ops.ports import free_port
from runtime.redis_client import connect
from runtime.settings import Settings

ADA = "ada@example.com"
HOME = "192.0.2.1"
LIMITS = Settings(
    guess_max_per_address=6,
    guess_max_per_account_and_address=3,
    guess_max_by_strangers=5,
    registrations_max_per_address=2,
    guest_orders_max_per_address=3,
    guest_mails_max_per_address=2,
    resets_max_per_address=2,
)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def throttle(redis: Redis) -> Throttle:
    return Throttle(redis, LIMITS)


async def guesses(throttle: Throttle, email: str, host: str, most: int = 20) -> int:
    """How many guesses are let through before one is not."""
    for count in range(most):
        try:
            await throttle.sign_in(email, host)
        except Problem:
            return count
    return most


def stranger(number: int) -> str:
    return f"198.51.100.{number}"


async def _keys(redis: Redis) -> list[str]:
    return [key if isinstance(key, str) else key.decode() for key in await redis.keys()]


async def sign_in(throttle: Throttle, email: str = ADA, host: str = HOME) -> None:
    await (await throttle.sign_in(email, host)).succeeded()


async def test_one_address_guesses_at_one_account_so_often(throttle: Throttle) -> None:
    assert await guesses(throttle, ADA, HOME) == 3


async def test_one_address_guesses_at_all_accounts_so_often(throttle: Throttle) -> None:
    assert [await guesses(throttle, f"{name}@example.com", HOME, most=2) for name in "abcd"] == [2, 2, 2, 0]


async def test_all_strangers_together_guess_at_one_account_so_often(throttle: Throttle) -> None:
    assert [await guesses(throttle, ADA, stranger(number), most=1) for number in range(7)] == [1, 1, 1, 1, 1, 0, 0]


async def test_a_stranger_does_not_lock_the_owner_out(throttle: Throttle) -> None:
    await sign_in(throttle)
    for number in range(10):
        await guesses(throttle, ADA, stranger(number))
    for _ in range(20):
        await sign_in(throttle)
    assert await guesses(throttle, ADA, HOME) == 3  # known or not, an address does not guess for ever


async def test_who_signs_in_often_is_not_held_back(throttle: Throttle) -> None:
    for _ in range(20):
        await sign_in(throttle)


async def test_an_office_behind_one_address_is_not_held_back_by_those_who_sign_in(throttle: Throttle) -> None:
    for number in range(30):
        await sign_in(throttle, f"employee-{number}@example.com")


async def test_attempts_at_the_same_time_all_count(throttle: Throttle) -> None:
    answers = await asyncio.gather(*(throttle.sign_in(ADA, HOME) for _ in range(20)), return_exceptions=True)
    assert sum(not isinstance(answer, Problem) for answer in answers) == 3


async def test_a_whole_ipv6_network_counts_as_one(throttle: Throttle) -> None:
    assert await guesses(throttle, ADA, "2001:db8::1", most=2) == 2
    assert await guesses(throttle, ADA, "2001:db8::ffff:1") == 1
    assert await guesses(throttle, ADA, "2001:db8:0:1::1") > 0


async def test_an_address_that_is_refused_leaves_no_more_traces(throttle: Throttle, redis: Redis) -> None:
    for number in range(50):
        await guesses(throttle, f"{number}@example.com", HOME, most=1)
    assert await redis.dbsize() == 1 + 2 * LIMITS.guess_max_per_address


async def test_the_answer_says_when_to_try_again_and_the_quota(throttle: Throttle, redis: Redis) -> None:
    await guesses(throttle, ADA, HOME)
    with pytest.raises(Problem) as refused:
        await throttle.sign_in(ADA, HOME)
    assert refused.value.code == "too_many_attempts"
    headers = refused.value.headers
    seconds = int(headers["Retry-After"])
    assert 0 < seconds <= LIMITS.guess_window_seconds
    assert headers["RateLimit-Policy"] == f'"account-and-address";q=3;w={LIMITS.guess_window_seconds}'
    assert headers["RateLimit"] == f'"account-and-address";r=0;t={seconds}'


async def test_every_count_ends(throttle: Throttle, redis: Redis) -> None:
    await sign_in(throttle)
    await guesses(throttle, ADA, HOME)
    await throttle.registration(HOME)
    for key in await _keys(redis):
        assert await redis.ttl(key) > 0, key


async def test_a_count_that_ended_meanwhile_does_not_come_back_without_its_end(
    throttle: Throttle, redis: Redis
) -> None:
    attempt = await throttle.sign_in(ADA, HOME)
    await redis.flushdb()
    await attempt.succeeded()
    (key,) = await _keys(redis)
    assert key.startswith("guess:known:")


async def test_no_address_is_written_down(throttle: Throttle, redis: Redis) -> None:
    await guesses(throttle, ADA, HOME)
    assert not any("ada" in key for key in await _keys(redis))


async def test_registrations_of_one_address_are_bounded(throttle: Throttle) -> None:
    await throttle.registration(HOME)
    await throttle.registration(HOME)
    with pytest.raises(Problem, match="Too many"):
        await throttle.registration(HOME)
    await throttle.registration(stranger(1))


async def test_guests_orders_of_one_address_are_bounded(throttle: Throttle) -> None:
    for _ in range(LIMITS.guest_orders_max_per_address):
        await throttle.guest_order(HOME)
    with pytest.raises(Problem, match="Too many"):
        await throttle.guest_order(HOME)
    await throttle.guest_order(stranger(1))


async def test_what_has_mails_sent_is_bounded_by_address(throttle: Throttle) -> None:
    for count, most in (
        (throttle.guest_mail, LIMITS.guest_mails_max_per_address),
        (throttle.password_reset, LIMITS.resets_max_per_address),
    ):
        for _ in range(most):
            await count(HOME)
        with pytest.raises(Problem, match="Too many"):
            await count(HOME)
        await count(stranger(1))


async def test_without_redis_nobody_is_held_back_and_a_metric_says_so() -> None:
    client = connect(f"redis://127.0.0.1:{free_port()}/0")
    throttle = Throttle(client, LIMITS)
    before = REGISTRY.get_sample_value("tidegate_throttle_blind_total") or 0.0
    assert await guesses(throttle, ADA, HOME) == 20
    await throttle.registration(HOME)
    assert REGISTRY.get_sample_value("tidegate_throttle_blind_total") == before + 21
    await client.aclose()
