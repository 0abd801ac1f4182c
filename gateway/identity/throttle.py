"""Slows down guessing: attempts to sign in are counted, by address and by account, and rejected beyond a limit; so are
registrations, guests' orders and codes of gift cards and promotions, by address, and repeated mails with a gift card's
code, by card. The counts are token buckets that are full again after a window.

A stranger must not be able to lock an account. So an account's own count covers only addresses that have never signed
in to it; an address that has is limited only by its own attempts. Attempts are counted before the password is checked,
because guesses come in parallel, and uncounted if it was right. E-mail addresses are stored as digests, whether or not
there is such an account.
"""

import asyncio
import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, get_args

from redis.asyncio import Redis
from starlette.types import Scope

from gateway.limits.buckets import Buckets
from gateway.limits.policy import Policy, Standing, note
from gateway.web.problems import Problem
from runtime.addresses import network_of
from runtime.metrics import THROTTLED
from runtime.redis_client import REDIS_UNAVAILABLE
from runtime.settings import Settings

_log = logging.getLogger(__name__)

# How long an address counts as known to an account after a successful sign-in.
_KNOWN_SECONDS: Final = 90 * 86_400
_DIGEST_BYTES: Final = 16

_Name = Literal[
    "address",
    "account-and-address",
    "account",
    "registrations",
    "guest-orders",
    "guest-mails",
    "password-resets",
    "gift-cards",
    "gift-card-mails",
    "promotion-codes",
]
THROTTLED.allow(policy=get_args(_Name))


class _Count(NamedTuple):
    """A count that an attempt is added to: its policy and subject."""

    policy: Policy
    subject: str


class Attempt(NamedTuple):
    """An attempt that was let through, and how to report its success."""

    throttle: "Throttle"
    scope: Scope
    counts: Sequence[_Count]
    known_key: str

    async def succeeded(self) -> None:
        """The password was right: the attempt no longer counts, and the address is remembered."""
        await self.throttle.forgive(self)


class Throttle:
    """The counts, shared by all gateways. The methods take the ASGI scope of the request, from which they read its
    address, and in which they note the rate limit headers."""

    def __init__(self, redis: Redis, buckets: Buckets, config: Settings) -> None:
        self._redis = redis
        self._buckets = buckets
        most: Mapping[_Name, int] = {
            "address": config.guess_max_per_address,
            "account-and-address": config.guess_max_per_account_and_address,
            "account": config.guess_max_by_strangers,
            "registrations": config.registrations_max_per_address,
            "guest-orders": config.guest_orders_max_per_address,
            "guest-mails": config.guest_mails_max_per_address,
            "password-resets": config.resets_max_per_address,
            "gift-cards": config.gift_cards_max_per_address,
            "gift-card-mails": config.gift_card_mails_max_per_card,
            "promotion-codes": config.promotion_codes_max_per_address,
        }
        window_seconds = config.guess_window_seconds
        self._policies = {name: Policy(name, limit / window_seconds, limit, exact=True) for name, limit in most.items()}

    async def sign_in(self, email: str, scope: Scope) -> Attempt:
        """Counts an attempt to sign in as `email`. Raises a 429 Problem."""
        address, account = _network(scope), _digest(email)
        known_key = f"guess:known:{account}:{address}"
        by_address = self._of("address", address)
        # One after the other, so that an address over its limit does not add to the account's count.
        await self._count(scope, by_address)
        counts = [self._of("account-and-address", f"{account}:{address}")]
        if not await self._is_known(known_key):
            counts.append(self._of("account", account))
        await self._count(scope, *counts)
        return Attempt(self, scope, (by_address, *counts), known_key)

    async def registration(self, scope: Scope) -> None:
        """Counts a registration. Raises a 429 Problem."""
        await self._count(scope, self._of("registrations", _network(scope)))

    async def guest_order(self, scope: Scope) -> None:
        """Counts an order without an account. Raises a 429 Problem."""
        await self._count(scope, self._of("guest-orders", _network(scope)))

    async def guest_mail(self, scope: Scope) -> None:
        """Counts a guest's action that leads to mail. Raises a 429 Problem."""
        await self._count(scope, self._of("guest-mails", _network(scope)))

    async def password_reset(self, scope: Scope) -> None:
        """Counts a request for a password reset. Raises a 429 Problem."""
        await self._count(scope, self._of("password-resets", _network(scope)))

    async def gift_card(self, scope: Scope) -> None:
        """Counts an attempt to use a gift card's code. Raises a 429 Problem."""
        await self._count(scope, self._of("gift-cards", _network(scope)))

    async def gift_card_mail(self, scope: Scope, card_id: str) -> None:
        """Counts a request to mail the card's code again, whoever makes it. Raises a 429 Problem."""
        await self._count(scope, self._of("gift-card-mails", card_id))

    async def good_gift_card(self, scope: Scope) -> None:
        """The code was right: the attempt no longer counts."""
        _note(scope, [await self._buckets.give_back(*self._of("gift-cards", _network(scope)))])

    async def promotion_codes(self, scope: Scope, *, known: bool) -> None:
        """Counts an attempt to use a promotion code that does not exist. A `known` code does not count, but is
        rejected, too, once wrong guesses have used up the limit: otherwise acceptance would reveal that a code is
        right. Raises a 429 Problem."""
        count = self._of("promotion-codes", _network(scope))
        if known:
            self._let_in(scope, [await self._buckets.look(*count)])
        else:
            await self._count(scope, count)

    async def forgive(self, attempt: Attempt) -> None:
        """Takes back the count of an attempt, and remembers that this address is the owner's."""
        given_back = await asyncio.gather(*(self._buckets.give_back(*count) for count in attempt.counts))
        _note(attempt.scope, given_back)
        try:
            await self._redis.set(attempt.known_key, 1, ex=_KNOWN_SECONDS)
        except REDIS_UNAVAILABLE:
            _log.warning("an address that somebody signed in from could not be remembered: Redis is unavailable")

    def _of(self, name: _Name, subject: str) -> _Count:
        return _Count(self._policies[name], subject)

    async def _is_known(self, known_key: str) -> bool:
        """Whether the address has signed in to the account before; True while Redis cannot be asked."""
        try:
            return bool(await self._redis.exists(known_key))
        except REDIS_UNAVAILABLE:
            return True

    async def _count(self, scope: Scope, *counts: _Count) -> None:
        """Adds to each count. Raises a 429 Problem if one is at its limit."""
        self._let_in(scope, await asyncio.gather(*(self._buckets.take(*count) for count in counts)))

    def _let_in(self, scope: Scope, standings: Sequence[Standing]) -> None:
        """Notes the rate limit headers. Raises a 429 Problem if one of the counts is at its limit."""
        _note(scope, standings)
        for standing in standings:
            if not standing.granted:
                note(scope, standing)
                raise Problem(
                    "too_many_attempts",
                    "Too many attempts; try again later.",
                    headers={"Retry-After": str(standing.retry_after)},
                )


def _note(scope: Scope, standings: Iterable[Standing]) -> None:
    """Notes the rate limit headers for the response. An account's own count shows only if it is exceeded: it must not
    reveal how many others guess there, or whether the owner has ever signed in from this address."""
    for standing in standings:
        if standing.policy.name != "account":
            note(scope, standing)


def _network(scope: Scope) -> str:
    client = scope.get("client")
    return network_of(None if client is None else client[0])


def _digest(email: str) -> str:
    return hashlib.blake2b(email.encode(), digest_size=_DIGEST_BYTES).hexdigest()
