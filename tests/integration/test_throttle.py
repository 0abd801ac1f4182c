"""Guessing is throttled, per account and per address, and a stranger locks nobody out."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY
from starlette.types import Scope

from gateway.identity.throttle import Throttle
from gateway.limits.buckets import Buckets
from gateway.limits.policy import fields
from gateway.web.problems import Problem
from ops.ports import free_port
from runtime.redis_client import connect
from runtime.redis_pipeline import Client
from runtime.settings import Settings
from tests.system import eventually_seen

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
    gift_cards_max_per_address=3,
    promotion_codes_max_per_address=3,
)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Client]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def throttle(redis: Client) -> Throttle:
    return Throttle(redis, Buckets(redis), LIMITS)


def asks(host: str = HOME) -> Scope:
    """A request from there."""
    return {"type": "http", "client": (host, 1)}


async def guesses(throttle: Throttle, email: str, host: str, most: int = 20) -> int:
    """How many guesses are let through before one is refused."""
    for count in range(most):
        try:
            await throttle.sign_in(email, asks(host))
        except Problem:
            return count
    return most


def stranger(number: int) -> str:
    return f"198.51.100.{number}"


async def _keys(redis: Client) -> list[str]:
    return [key if isinstance(key, str) else key.decode() for key in await redis.keys()]


async def sign_in(throttle: Throttle, email: str = ADA, host: str = HOME) -> None:
    await (await throttle.sign_in(email, asks(host))).succeeded()


async def test_guesses_of_one_address_at_one_account_are_limited(throttle: Throttle) -> None:
    assert await guesses(throttle, ADA, HOME) == 3


async def test_guesses_of_one_address_at_all_accounts_are_limited(throttle: Throttle) -> None:
    assert [await guesses(throttle, f"{name}@example.com", HOME, most=2) for name in "abcd"] == [2, 2, 2, 0]


async def test_guesses_of_all_strangers_at_one_account_are_limited(throttle: Throttle) -> None:
    assert [await guesses(throttle, ADA, stranger(number), most=1) for number in range(7)] == [1, 1, 1, 1, 1, 0, 0]


async def test_a_stranger_does_not_lock_the_owner_out(throttle: Throttle) -> None:
    await sign_in(throttle)
    for number in range(10):
        await guesses(throttle, ADA, stranger(number))
    for _ in range(20):
        await sign_in(throttle)
    assert await guesses(throttle, ADA, HOME) == 3  # even a known address cannot guess for ever


async def test_frequent_sign_ins_are_not_throttled(throttle: Throttle) -> None:
    for _ in range(20):
        await sign_in(throttle)


async def test_an_office_behind_one_address_is_not_throttled_by_its_sign_ins(throttle: Throttle) -> None:
    for number in range(30):
        await sign_in(throttle, f"employee-{number}@example.com")


async def test_concurrent_attempts_all_count(throttle: Throttle) -> None:
    answers = await asyncio.gather(*(throttle.sign_in(ADA, asks()) for _ in range(20)), return_exceptions=True)
    assert sum(not isinstance(answer, Problem) for answer in answers) == 3


async def test_a_whole_ipv6_network_counts_as_one(throttle: Throttle) -> None:
    assert await guesses(throttle, ADA, "2001:db8::1", most=2) == 2
    assert await guesses(throttle, ADA, "2001:db8::ffff:1") == 1
    assert await guesses(throttle, ADA, "2001:db8:0:1::1") > 0


async def test_a_throttled_address_adds_no_further_keys_to_redis(throttle: Throttle, redis: Client) -> None:
    for number in range(50):
        await guesses(throttle, f"{number}@example.com", HOME, most=1)
    assert await redis.dbsize() == 1 + 2 * LIMITS.guess_max_per_address


def said(scope: Scope) -> dict[str, str]:
    """What the answer to this request says of its quotas."""
    return {name.decode(): value.decode() for name, value in fields(scope)}


async def test_the_answer_says_when_to_retry_and_the_quota(throttle: Throttle) -> None:
    await guesses(throttle, ADA, HOME)
    scope = asks()
    with pytest.raises(Problem) as refused:
        await throttle.sign_in(ADA, scope)
    assert refused.value.code == "too_many_attempts"
    seconds = int(refused.value.headers["Retry-After"])
    assert 0 < seconds <= LIMITS.guess_window_seconds / LIMITS.guess_max_per_account_and_address
    quotas = said(scope)
    assert quotas["ratelimit-policy"] == '"address";q=6;w=900, "account-and-address";q=3;w=900'
    assert quotas["ratelimit"].endswith(f'"account-and-address";r=0;t={seconds}')


async def test_every_answer_says_what_is_left(throttle: Throttle) -> None:
    scope = asks()
    attempt = await throttle.sign_in(ADA, scope)
    assert said(scope)["ratelimit"] == '"address";r=5;t=150, "account-and-address";r=2;t=300'
    await attempt.succeeded()
    assert said(scope)["ratelimit"] == '"address";r=6;t=0, "account-and-address";r=3;t=0'
    scope = asks()
    await throttle.registration(scope)
    assert said(scope) == {"ratelimit-policy": '"registrations";q=2;w=900', "ratelimit": '"registrations";r=1;t=450'}


async def test_an_accounts_own_count_shows_only_when_it_refuses(throttle: Throttle) -> None:
    """Otherwise it would tell how many others guess there, and whether its owner has ever come from this address."""
    for number in range(LIMITS.guess_max_by_strangers):
        scope = asks(stranger(number))
        await throttle.sign_in(ADA, scope)
        assert '"account";' not in said(scope)["ratelimit"]
    scope = asks(stranger(99))
    with pytest.raises(Problem):
        await throttle.sign_in(ADA, scope)
    assert '"account";r=0;' in said(scope)["ratelimit"]


async def test_an_attempt_comes_in_again_after_its_share_of_the_window(redis: Client) -> None:
    quick = Throttle(redis, Buckets(redis), Settings(guess_max_per_account_and_address=3, guess_window_seconds=3))
    assert await guesses(quick, ADA, HOME) == 3

    async def is_let_in() -> bool:
        return await guesses(quick, ADA, HOME, most=1) == 1

    await eventually_seen("another attempt", is_let_in, within_seconds=5)


async def test_every_count_expires(throttle: Throttle, redis: Client) -> None:
    await sign_in(throttle)
    await guesses(throttle, ADA, HOME)
    await throttle.registration(asks())
    for key in await _keys(redis):
        assert await redis.ttl(key) > 0, key


async def test_a_count_that_expired_meanwhile_does_not_come_back_without_expiry(
    throttle: Throttle, redis: Client
) -> None:
    attempt = await throttle.sign_in(ADA, asks())
    await redis.flushdb()
    await attempt.succeeded()
    (key,) = await _keys(redis)
    assert key.startswith("guess:known:")


async def test_no_address_is_stored(throttle: Throttle, redis: Client) -> None:
    await guesses(throttle, ADA, HOME)
    assert not any("ada" in key for key in await _keys(redis))


async def test_registrations_of_one_address_are_limited(throttle: Throttle) -> None:
    await throttle.registration(asks())
    await throttle.registration(asks())
    with pytest.raises(Problem, match="Too many"):
        await throttle.registration(asks())
    await throttle.registration(asks(stranger(1)))


async def test_guests_orders_of_one_address_are_limited(throttle: Throttle) -> None:
    for _ in range(LIMITS.guest_orders_max_per_address):
        await throttle.guest_order(asks())
    with pytest.raises(Problem, match="Too many"):
        await throttle.guest_order(asks())
    await throttle.guest_order(asks(stranger(1)))


async def test_requests_that_cause_mails_are_limited_by_address(throttle: Throttle) -> None:
    for count, most in (
        (throttle.guest_mail, LIMITS.guest_mails_max_per_address),
        (throttle.password_reset, LIMITS.resets_max_per_address),
    ):
        for _ in range(most):
            await count(asks())
        with pytest.raises(Problem, match="Too many"):
            await count(asks())
        await count(asks(stranger(1)))


async def test_without_redis_each_process_throttles_by_itself_and_a_metric_says_so() -> None:
    client = connect(f"redis://127.0.0.1:{free_port()}/0")
    buckets = Buckets(client)
    throttle = Throttle(client, buckets, LIMITS)
    before = REGISTRY.get_sample_value("tidegate_throttle_local_total") or 0.0
    assert await guesses(throttle, ADA, HOME) == 3
    await throttle.registration(asks())
    assert (REGISTRY.get_sample_value("tidegate_throttle_local_total") or 0.0) > before
    for number in range(10):  # nobody is known now, and a stranger locks nobody out all the same
        await guesses(throttle, "eve@example.com", stranger(number))
    await sign_in(throttle, "eve@example.com", stranger(100))
    await buckets.close()
    await client.aclose()


async def test_codes_of_gift_cards_that_are_no_good_are_limited_by_address(throttle: Throttle) -> None:
    for _ in range(2 * LIMITS.gift_cards_max_per_address):
        await throttle.gift_card(asks())
        await throttle.good_gift_card(asks())
    for _ in range(LIMITS.gift_cards_max_per_address):
        await throttle.gift_card(asks())
    with pytest.raises(Problem, match="Too many attempts"):
        await throttle.gift_card(asks())
    await throttle.gift_card(asks(stranger(1)))


async def test_codes_of_promotions_that_there_are_not_are_limited_by_address(throttle: Throttle) -> None:
    most = LIMITS.promotion_codes_max_per_address
    await asyncio.gather(*(throttle.promotion_codes(asks(), known=True) for _ in range(10 * most)))
    for _ in range(most):
        await throttle.promotion_codes(asks(), known=True)
        await throttle.promotion_codes(asks(), known=False)
    for known in (False, True, True):
        with pytest.raises(Problem, match="Too many attempts"):
            await throttle.promotion_codes(asks(), known=known)
    for known in (False, True):
        await throttle.promotion_codes(asks(stranger(1)), known=known)
