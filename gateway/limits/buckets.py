"""Token buckets that all gateways share through Redis, and that cost hardly anything while nobody is near a limit.

While a bucket is full enough, a process lets a few requests through before it tells Redis (a policy's credit); what it
owes is then taken from the bucket, which may go below zero. So quotas hold in the long run, and a burst exceeds them by
at most the credit of each process. Near a limit, Redis is asked for each request. Once a quota is used up, requests are
rejected without asking, until there must be a token again.

Without Redis, each process continues with what it knows, and counts its own requests.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from redis.exceptions import RedisError

from gateway.limits.policy import Policy, Standing
from runtime.metrics import THROTTLE_LOCAL, THROTTLED
from runtime.redis_pipeline import Client, Script

_log = logging.getLogger(__name__)

_TAKE: Final = Script((Path(__file__).parent / "take.lua").read_text())

ANSWER_SECONDS: Final = 1.0
"""How long Redis may take to answer before a process continues without it."""
_COME_BACK_SECONDS: Final = 1.0

# A process lets requests through on credit only while more than this share of the burst is left.
_CREDIT_ABOVE: Final = 1 / 4

# The oldest are forgotten first.
_ACCOUNTS_MAX: Final = 50_000


class _Account:
    """What this process knows about a bucket: what was left at some time (monotonic seconds), its own requests
    included; how many of these Redis has not been told of; and the requests that wait for Redis's answer."""

    __slots__ = ("at", "key", "left", "owed", "policy", "waiting")

    def __init__(self, policy: Policy, subject: str, now: float) -> None:
        self.policy = policy
        self.key = f"bucket:{policy.name}:{subject}"
        self.left = float(policy.burst)
        self.at = now
        self.owed = 0.0
        self.waiting: list[asyncio.Future[Standing]] = []

    def look(self, now: float) -> float:
        """The tokens that are left now."""
        policy = self.policy
        left = self.left + (now - self.at) * policy.per_second
        self.left = left = min(policy.burst, left)
        self.at = now
        return left

    def settle(self, now: float) -> float:
        """What to tell Redis: what is owed, minus what the bucket has regained since."""
        owed = min(self.owed, self.policy.burst - self.look(now))
        self.owed = 0.0
        return owed

    def take(self) -> Standing:
        """Takes a token without asking Redis, and notes it as owed."""
        if self.left < 1:
            return self.refusal()
        self.left -= 1
        self.owed += 1
        return Standing(self.policy, True, self.left)

    def refusal(self) -> Standing:
        THROTTLED.labels(self.policy.name).inc()
        return Standing(self.policy, False, self.left)


class Buckets:
    """The buckets as one gateway process sees them. `clock` returns monotonic seconds."""

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._accounts: dict[tuple[str, str], _Account] = {}
        self._to_ask: dict[_Account, None] = {}
        self._asking: asyncio.Task[None] | None = None
        self._coming_back: asyncio.Task[None] | None = None

    def take_at_hand(self, policy: Policy, subject: str) -> Standing | None:
        """Takes a token if that is possible without asking Redis; None if Redis must be asked."""
        account = self._account(policy, subject)
        left = account.look(self._clock())
        if self._coming_back is not None:
            THROTTLE_LOCAL.inc()
        elif policy.exact or (left >= 1 and (account.owed >= policy.credit or left <= policy.burst * _CREDIT_ABOVE)):
            return None
        return account.take()

    async def take(self, policy: Policy, subject: str) -> Standing:
        """Takes a token from the subject's bucket, if there is one."""
        standing = self.take_at_hand(policy, subject)
        if standing is not None:
            return standing
        account = self._account(policy, subject)
        answer: asyncio.Future[Standing] = asyncio.get_running_loop().create_future()
        account.waiting.append(answer)
        self._to_ask[account] = None
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all())
        return await answer

    async def look(self, policy: Policy, subject: str) -> Standing:
        """The standing of the subject's bucket, without taking a token."""
        account = self._account(policy, subject)
        if self._coming_back is None:
            await self._ask([account])
        return Standing(policy, True, account.left) if account.look(self._clock()) >= 1 else account.refusal()

    async def give_back(self, policy: Policy, subject: str) -> Standing:
        """Puts back a token that was taken."""
        account = self._account(policy, subject)
        account.left = min(policy.burst, account.look(self._clock()) + 1)
        account.owed -= 1
        if self._coming_back is None:
            await self._ask([account])
        return Standing(policy, True, account.left)

    async def close(self) -> None:
        """Stops trying to reach Redis, and waits for outstanding answers."""
        if self._coming_back is not None:
            self._coming_back.cancel()
        await asyncio.gather(*filter(None, (self._coming_back, self._asking)), return_exceptions=True)

    def _account(self, policy: Policy, subject: str) -> _Account:
        key = policy.name, subject
        account = self._accounts.get(key)
        if account is None:
            if len(self._accounts) >= _ACCOUNTS_MAX:
                del self._accounts[next(iter(self._accounts))]
            account = self._accounts[key] = _Account(policy, subject, self._clock())
        return account

    async def _ask_all(self) -> None:
        """Asks for all waiting requests; while one pipeline is on its way, the next one fills."""
        try:
            while self._to_ask:
                accounts, self._to_ask = list(self._to_ask), {}
                await self._ask(accounts)
        finally:
            self._asking = None

    async def _ask(self, accounts: Sequence[_Account]) -> None:
        """Tells Redis what is owed, and answers the waiting requests."""
        now = self._clock()
        asked = [(account, account.settle(now), account.waiting) for account in accounts]
        for account in accounts:
            account.waiting = []
        calls = [
            _TAKE.call([account.key], [account.policy.per_second, account.policy.burst, owed, len(waiting)])
            for account, owed, waiting in asked
        ]
        answers: list[Any]
        try:
            answers = await self._client.send(calls)
        except Exception as error:  # whatever it is, the waiting requests must be answered
            self._lose(error)
            answers = [error] * len(asked)
        now = self._clock()
        for (account, owed, waiting), answer in zip(asked, answers, strict=True):
            if isinstance(answer, BaseException):
                account.owed += owed
                account.look(now)
                THROTTLE_LOCAL.inc(len(waiting))
                _tell(waiting, [account.take() for _ in waiting])
            else:
                granted, left = int(answer[0]), float(answer[1])
                account.left, account.at = left - account.owed, now
                _tell(waiting, [_standing(account, number, granted, left) for number in range(len(waiting))])

    def _lose(self, error: BaseException) -> None:
        """Continues without Redis."""
        if self._coming_back is None:
            _log.warning("Redis does not answer (%s): this process limits requests on its own", error)
            self._coming_back = asyncio.create_task(self._come_back())

    async def _come_back(self) -> None:
        while True:
            await asyncio.sleep(_COME_BACK_SECONDS)
            try:
                await self._client.ping()
            except (RedisError, OSError):
                continue
            self._coming_back = None
            return


def _standing(account: _Account, number: int, granted: int, left: float) -> Standing:
    """The standing of the `number`-th waiting request, of which `granted` were let in."""
    if number >= granted:
        return account.refusal()
    return Standing(account.policy, True, left + granted - number - 1)


def _tell(waiting: Sequence[asyncio.Future[Standing]], standings: Sequence[Standing]) -> None:
    for answer, standing in zip(waiting, standings, strict=True):
        if not answer.done():  # the request may have been cancelled
            answer.set_result(standing)
