"""Slows guessing: attempts to sign in are counted in Redis, by address and by account, and refused beyond a limit; so
are registrations and guests' orders, by address.

A stranger must not be able to lock an account. So an account's own count covers only addresses that have never signed
in to it; an address that has is limited only by its own attempts. Attempts are counted before the password is checked,
because guesses come in parallel, and uncounted if it was right. Without Redis nobody is limited, and a metric says so.
E-mail addresses are stored as digests, whether or not there is such an account.
"""

import hashlib
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, get_args

from redis.asyncio import Redis

from gateway.web.problems import Problem
from runtime.addresses import network_of
from runtime.metrics import THROTTLE_BLIND, THROTTLED
from runtime.redis_client import REDIS_UNAVAILABLE
from runtime.settings import Settings

# How long an account remembers an address that it was signed in to from.
_KNOWN_SECONDS: Final = 90 * 86_400
_DIGEST_BYTES: Final = 16

# A count that has expired must not come back without an expiry.
_GIVE_BACK: Final = "if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('DECR', KEYS[1]) end"


Policy = Literal[
    "address", "account-and-address", "account", "registrations", "guest-orders", "guest-mails", "password-resets"
]
THROTTLED.allow(policy=get_args(Policy))


class _Count(NamedTuple):
    """What is counted where, and its limit. `policy` is its name for clients."""

    policy: Policy
    key: str
    limit: int


class Attempt(NamedTuple):
    """An attempt that was let through, and how to report its success."""

    throttle: "Throttle"
    counts: Sequence[_Count]
    known_key: str

    async def succeeded(self) -> None:
        """It was the owner: the attempt is uncounted, and the address remembered."""
        await self.throttle.forgive(self.counts, self.known_key)


class Throttle:
    """The counts shared by all gateways."""

    def __init__(self, redis: Redis, config: Settings) -> None:
        self._redis = redis
        self._config = config

    async def sign_in(self, email: str, host: str | None) -> Attempt:
        """Counts an attempt to sign in as `email` from `host`. Raises a 429 Problem."""
        config = self._config
        address, account = network_of(host), _digest(email)
        known_key = f"guess:known:{account}:{address}"
        by_address = _Count("address", f"guess:address:{address}", config.guess_max_per_address)
        by_both = _Count(
            "account-and-address", f"guess:both:{account}:{address}", config.guess_max_per_account_and_address
        )
        by_account = _Count("account", f"guess:account:{account}", config.guess_max_by_strangers)
        try:
            # One after the other: an address that keeps guessing must leave no further counts.
            await self._count([by_address])
            counts = [by_both] if await self._redis.exists(known_key) else [by_both, by_account]
            await self._count(counts)
        except REDIS_UNAVAILABLE:
            THROTTLE_BLIND.inc()
            return Attempt(self, (), known_key)
        return Attempt(self, (by_address, *counts), known_key)

    async def registration(self, host: str | None) -> None:
        """Counts a registration from `host`. Raises a 429 Problem."""
        key = f"register:address:{network_of(host)}"
        try:
            await self._count([_Count("registrations", key, self._config.registrations_max_per_address)])
        except REDIS_UNAVAILABLE:
            THROTTLE_BLIND.inc()

    async def guest_order(self, host: str | None) -> None:
        """Counts an order without an account from `host`. Raises a 429 Problem."""
        key = f"guest-order:address:{network_of(host)}"
        try:
            await self._count([_Count("guest-orders", key, self._config.guest_orders_max_per_address)])
        except REDIS_UNAVAILABLE:
            THROTTLE_BLIND.inc()

    async def guest_mail(self, host: str | None) -> None:
        """Counts a guest's action that leads to mail, from `host`. Raises a 429 Problem."""
        key = f"guest-mail:address:{network_of(host)}"
        try:
            await self._count([_Count("guest-mails", key, self._config.guest_mails_max_per_address)])
        except REDIS_UNAVAILABLE:
            THROTTLE_BLIND.inc()

    async def password_reset(self, host: str | None) -> None:
        """Counts a password reset requested from `host`. Raises a 429 Problem."""
        key = f"reset:address:{network_of(host)}"
        try:
            await self._count([_Count("password-resets", key, self._config.resets_max_per_address)])
        except REDIS_UNAVAILABLE:
            THROTTLE_BLIND.inc()

    async def forgive(self, counts: Sequence[_Count], known_key: str) -> None:
        """Uncounts an attempt, and remembers that this address is the owner's."""
        pipeline = self._redis.pipeline(transaction=False)
        for count in counts:
            pipeline.eval(_GIVE_BACK, 1, count.key)
        pipeline.set(known_key, 1, ex=_KNOWN_SECONDS)
        try:
            await pipeline.execute()
        except REDIS_UNAVAILABLE:
            THROTTLE_BLIND.inc()

    async def _count(self, counts: Sequence[_Count]) -> None:
        """Adds one to each. Raises a 429 Problem if one was at its limit."""
        window = self._config.guess_window_seconds
        pipeline = self._redis.pipeline(transaction=False)
        for count in counts:
            pipeline.set(count.key, 0, ex=window, nx=True)
            pipeline.incr(count.key)
            pipeline.ttl(count.key)
        answers = await pipeline.execute()
        for place, count in enumerate(counts):
            reached, seconds_left = answers[3 * place + 1 : 3 * place + 3]
            if reached > count.limit:
                THROTTLED.labels(count.policy).inc()
                raise _too_many(count, window, max(1, seconds_left))


def _too_many(count: _Count, window_seconds: int, seconds_left: int) -> Problem:
    """The 429, with the quota as draft-ietf-httpapi-ratelimit-headers has it."""
    return Problem(
        "too_many_attempts",
        "Too many attempts; try again later.",
        headers={
            "Retry-After": str(seconds_left),
            "RateLimit-Policy": f'"{count.policy}";q={count.limit};w={window_seconds}',
            "RateLimit": f'"{count.policy}";r=0;t={seconds_left}',
        },
    )


def _digest(email: str) -> str:
    return hashlib.blake2b(email.encode(), digest_size=_DIGEST_BYTES).hexdigest()
