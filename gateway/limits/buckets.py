"""Token buckets that all gateways share through Redis, and that cost hardly anything while nobody is near a limit.

A process lets a few requests through before it tells Redis (a policy's credit), as long as more than half of a bucket
is there; what it owes is then taken from the bucket, if need be below nothing. So quotas hold in the long run, and in
a burst they are exceeded by at most the credit of each process. Near a limit, each request is asked for. Who has used
up a quota is refused without asking, until there must be something again.

Without Redis each process goes by what it knows, and by its own requests from then on.
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
"""How long Redis may take to answer before a process goes on by itself."""
_COME_BACK_SECONDS: Final = 1.0

# One process lets requests through on credit only while more than this part of a burst is there.
_CREDIT_ABOVE: Final = 1 / 4

# Those that were first asked about are forgotten first.
_ACCOUNTS_MAX: Final = 50_000


class _Account:
    """What this process knows of a bucket: what was left at some time (monotonic seconds), its own requests included;
    how many of those Redis has not been told; and who waits to hear from Redis."""

    __slots__ = ("at", "key", "left", "owed", "policy", "waiting")

    def __init__(self, policy: Policy, subject: str, now: float) -> None:
        self.policy = policy
        self.key = f"bucket:{policy.name}:{subject}"
        self.left = float(policy.burst)
        self.at = now
        self.owed = 0.0
        self.waiting: list[asyncio.Future[Standing]] = []

    def look(self, now: float) -> float:
        """What is left now."""
        policy = self.policy
        left = self.left + (now - self.at) * policy.per_second
        self.left = left = min(policy.burst, left)
        self.at = now
        return left

    def settle(self, now: float) -> float:
        """What to tell Redis: what is owed, except for what has come in again since."""
        owed = min(self.owed, self.policy.burst - self.look(now))
        self.owed = 0.0
        return owed

    def take(self) -> Standing:
        """Takes a token, on this process's own account."""
        if self.left < 1:
            return self.refusal()
        self.left -= 1
        self.owed += 1
        return Standing(self.policy, True, self.left)

    def refusal(self) -> Standing:
        THROTTLED.labels(self.policy.name).inc()
        return Standing(self.policy, False, self.left)


class Buckets:
    """The buckets as one gateway process sees them. `clock` gives seconds that never go back."""

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._accounts: dict[tuple[str, str], _Account] = {}
        self._to_ask: dict[_Account, None] = {}
        self._asking: asyncio.Task[None] | None = None
        self._coming_back: asyncio.Task[None] | None = None

    def take_at_hand(self, policy: Policy, subject: str) -> Standing | None:
        """Takes a token if that can be done without asking Redis; None if it must be asked."""
        account = self._account(policy, subject)
        left = account.look(self._clock())
        if self._coming_back is not None:
            THROTTLE_LOCAL.inc()
        elif policy.exact or (left >= 1 and (account.owed >= policy.credit or left <= policy.burst * _CREDIT_ABOVE)):
            return None
        return account.take()

    async def take(self, policy: Policy, subject: str) -> Standing:
        """Takes a token of the subject's bucket, if there is one."""
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
        """Whether there is a token in the subject's bucket, and takes none."""
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
        """Stops looking for Redis, and waits for what is being asked."""
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
        """Asks for all who wait; while one pipeline is on its way, the next gathers."""
        try:
            while self._to_ask:
                accounts, self._to_ask = list(self._to_ask), {}
                await self._ask(accounts)
        finally:
            self._asking = None

    async def _ask(self, accounts: Sequence[_Account]) -> None:
        """Tells Redis what is owed, and answers those who wait."""
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
        except Exception as error:  # whatever it is, those who wait must be told
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
        """Goes on without Redis."""
        if self._coming_back is None:
            _log.warning("Redis does not answer (%s): this process limits requests by itself", error)
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
    """Of the request that waited as the `number`-th, when so many were let in."""
    if number >= granted:
        return account.refusal()
    return Standing(account.policy, True, left + granted - number - 1)


def _tell(waiting: Sequence[asyncio.Future[Standing]], standings: Sequence[Standing]) -> None:
    for answer, standing in zip(waiting, standings, strict=True):
        if not answer.done():  # the request may have been given up
            answer.set_result(standing)
