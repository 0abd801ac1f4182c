"""Token buckets without Redis, what clients are told of them, and which routes and requests are limited."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from redis.exceptions import ConnectionError as NoRedis
from starlette.types import Scope

from domain.model import Actor
from gateway.app import api
from gateway.identity.requirements import is_limited
from gateway.limits.buckets import Buckets
from gateway.limits.policy import Policy, Standing, fields, note
from gateway.limits.requests import PROXY, Limits, address_of
from gateway.web.problems import Problem
from runtime.settings import Settings

ANN = Actor.in_role("ann", "customer")
SAM = Actor.in_role("sam", "staff")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Away:
    """A Redis that nobody reaches."""

    asked = 0

    async def send(self, _: object) -> list[Any]:
        self.asked += 1
        raise NoRedis("nobody there")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def away() -> Away:
    return Away()


@pytest.fixture
async def buckets(away: Away, clock: Clock) -> AsyncIterator[Buckets]:
    buckets = Buckets(away, clock)  # type: ignore[arg-type]  # it does what is needed here
    yield buckets
    await buckets.close()


async def granted(buckets: Buckets, policy: Policy, count: int, subject: str = "ann") -> int:
    """How many of so many requests are let in."""
    return [(await buckets.take(policy, subject)).granted for _ in range(count)].count(True)


async def test_without_redis_a_burst_passes_and_then_the_rate(buckets: Buckets, clock: Clock) -> None:
    policy = Policy("some", per_second=2, burst=3)
    assert await granted(buckets, policy, 5) == 3
    clock.now += 1
    assert await granted(buckets, policy, 5) == 2
    clock.now += 1_000
    assert await granted(buckets, policy, 5) == 3, "never more than a burst"
    assert await granted(buckets, policy, 5, "bob") == 3, "everybody has their own"
    assert await granted(buckets, Policy("other", 2, 3), 5) == 3, "and of each policy"


async def test_a_redis_that_is_away_is_not_asked_by_every_request(buckets: Buckets, away: Away) -> None:
    assert await granted(buckets, Policy("some", 1, 10), 50) == 10
    assert away.asked == 1


async def test_the_rest_of_a_token_counts(buckets: Buckets, clock: Clock) -> None:
    policy = Policy("some", per_second=1, burst=2)
    assert await granted(buckets, policy, 2) == 2
    for _ in range(7):
        clock.now += 0.25
        await granted(buckets, policy, 1)
    clock.now += 0.25
    assert await granted(buckets, policy, 5) == 1, "2 s brought 2 tokens; one was taken after a second"


async def test_what_is_given_back_can_be_taken_again_and_no_more_than_that(buckets: Buckets) -> None:
    policy = Policy("some", per_second=0.001, burst=2, exact=True)
    assert await granted(buckets, policy, 3) == 2
    await buckets.give_back(policy, "ann")
    assert await granted(buckets, policy, 3) == 1
    for _ in range(5):
        await buckets.give_back(policy, "ann")
    assert await granted(buckets, policy, 5) == 2


def test_a_policy_says_its_quota_and_in_how_many_seconds_it_comes_in() -> None:
    assert Policy("reads", per_second=50, burst=100).said == b'"reads";q=100;w=2'
    assert Policy("some", per_second=10 / 900, burst=10).said == b'"some";q=10;w=900'


@pytest.mark.parametrize(
    ("standing", "said", "retry_after"),
    [
        pytest.param((True, 99.0), b'"reads";r=99;t=1', 1, id="begun"),
        pytest.param((True, 0.5), b'"reads";r=0;t=2', 1, id="used up"),
        pytest.param((True, -7.0), b'"reads";r=0;t=3', 1, id="owing"),
        pytest.param((False, 0.0), b'"reads";r=0;t=1', 1, id="refused"),
        pytest.param((False, -150.0), b'"reads";r=0;t=4', 4, id="refused for longer"),
    ],
)
def test_a_standing_tells_the_remaining_quota_and_its_reset(
    standing: tuple[bool, float], said: bytes, retry_after: int
) -> None:
    stands = Standing(Policy("reads", per_second=50, burst=100), *standing)
    assert stands.said() == said
    if not stands.granted:
        assert stands.retry_after == retry_after


def test_fields_list_all_policies_each_with_its_latest_standing() -> None:
    scope: Scope = {}
    assert fields(scope) == ()
    reads, address = Policy("reads", 50, 100), Policy("address", 1, 10)
    for standing in (Standing(reads, True, 99.0), Standing(address, True, 9.0), Standing(reads, True, 98.0)):
        note(scope, standing)
    assert dict(fields(scope)) == {
        b"ratelimit-policy": b'"reads";q=100;w=2, "address";q=10;w=10',
        b"ratelimit": b'"reads";r=98;t=1, "address";r=9;t=1',
    }


def limits(buckets: Buckets, **settings: Any) -> Limits:
    off: dict[str, Any] = {
        f"{whose}_{what}_per_second": 0.0 for whose in ("principal", "address") for what in ("reads", "writes")
    }
    return Limits(buckets, Settings(**{**off, **settings}))


def request(method: str = "GET", host: str = "192.0.2.1") -> Scope:
    return {"type": "http", "method": method, "client": (host, 1), PROXY: "127.0.0.1"}


async def let_in(limits: Limits, actor: Actor | None, *, most: int = 9, **more: str) -> int:
    """How many of so many requests are let in before one is not."""
    for count in range(most):
        try:
            await limits.count(request(**more), actor)
        except Problem:
            return count
    return most


async def test_the_refusal_says_so_and_when_to_try_again(buckets: Buckets) -> None:
    bound = limits(buckets, principal_reads_per_second=0.01, principal_reads_burst=1)
    await bound.count(request(), ANN)
    scope = request()
    with pytest.raises(Problem) as refused:
        await bound.count(scope, ANN)
    assert (refused.value.code, refused.value.status) == ("too_many_requests", 429)
    assert refused.value.headers == {"Retry-After": "100"}
    assert dict(fields(scope)) == {b"ratelimit-policy": b'"reads";q=1;w=100', b"ratelimit": b'"reads";r=0;t=100'}


async def test_reads_and_writes_are_counted_apart(buckets: Buckets) -> None:
    bound = limits(
        buckets,
        principal_reads_per_second=0.01,
        principal_reads_burst=3,
        principal_writes_per_second=0.01,
        principal_writes_burst=2,
    )
    assert await let_in(bound, ANN) == 3
    assert await let_in(bound, ANN, method="HEAD") == 0
    assert await let_in(bound, ANN, method="POST") == 2
    assert await let_in(bound, ANN, method="DELETE") == 0
    assert await let_in(bound, Actor.in_role("bob", "customer")) == 3


async def test_an_address_is_counted_whoever_asks_from_there_but_not_staff(buckets: Buckets) -> None:
    bound = limits(buckets, address_reads_per_second=0.01, address_reads_burst=3)
    assert await let_in(bound, None, most=2) == 2
    assert await let_in(bound, ANN) == 1
    assert await let_in(bound, SAM) == 9
    assert await let_in(bound, None, host="192.0.2.2") == 3
    assert await let_in(bound, None, host="2001:db8::1") == 3
    assert await let_in(bound, None, host="2001:db8::2") == 0, "a network is one address"


async def test_staff_are_counted_by_who_they_are(buckets: Buckets) -> None:
    assert await let_in(limits(buckets, principal_reads_per_second=0.01, principal_reads_burst=3), SAM) == 3


async def test_without_bounds_nothing_is_counted_or_said(buckets: Buckets) -> None:
    scope = request()
    await limits(buckets).count(scope, ANN)
    assert fields(scope) == ()


def test_a_proxy_that_does_not_say_for_whom_it_asks_is_everybody() -> None:
    assert address_of(request(host="192.0.2.7")) == "192.0.2.7"
    assert address_of(request(host="127.0.0.1")) is None
    assert address_of({**request(host="127.0.0.1"), PROXY: None}) == "127.0.0.1"
    assert address_of({**request(), "client": None}) is None


def test_every_route_is_limited_except_for_operators_and_pages() -> None:
    routes = [context.original_route for context in iter_route_contexts(api(Settings()).routes)]
    free = {route.path for route in routes if isinstance(route, APIRoute) and not is_limited(route.dependant)}
    assert {path for path in free if path.startswith(("/api/v1", "/api/auth"))} == set()
    assert {"/health/live", "/health/ready", "/metrics"} <= free
