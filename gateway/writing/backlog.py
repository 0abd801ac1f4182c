"""Backpressure: new orders are rejected while the workers are too far behind to apply them in time, and while Redis is
nearly out of memory: the rest is for whatever frees memory again, and for staff.

Once a second, the mailboxes and the memory of Redis (in a cluster, of every node) are checked. The wait of a new
command in a mailbox is estimated as the age of the oldest command there; or, once the mailbox has been busy for some
seconds without a break, as the number of its commands divided by the rate at which they left, if that is longer. A
mailbox that was idle in between does not show how fast it could be drained; nor does it while a killed worker is being
replaced, which takes a second. The estimate holds until the next check, so up to a second's worth of orders may exceed
the bound.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from gateway.web.problems import Problem
from runtime.mailboxes.inbox import entry_order
from runtime.mailboxes.redis_keys import stream_key
from runtime.redis_client import REDIS_UNAVAILABLE, info
from runtime.redis_pipeline import Client

LOOK_SECONDS: Final = 1.0
TRUSTED_SECONDS: Final = 5.0
"""How long a mailbox must have been busy before its rate is used to estimate the wait."""

_KEPT_LOOKS: Final = 10

RETRY_MAX_SECONDS: Final = 60
"""The longest Retry-After; also used while nothing leaves the mailbox."""


class Seen(NamedTuple):
    """A mailbox at one check: the time, and when its oldest command was posted (Unix seconds; None if it is empty), the
    number of commands that wait, and how many were ever posted."""

    at: float
    oldest: float | None
    waiting: int
    posted: int


class Wait(NamedTuple):
    """The estimated wait of a new command in a mailbox (seconds), the commands before it, and how many leave the
    mailbox per second (0: none, or unknown)."""

    seconds: float
    waiting: int
    per_second: float


_NONE: Final = Wait(0.0, 0, 0.0)


def expected(before: Seen | None, now: Seen) -> Wait:
    """The wait estimated from two checks of a mailbox that was busy between them."""
    if now.oldest is None:
        return _NONE
    age = max(0.0, now.at - now.oldest)
    if before is None or now.at <= before.at:
        return Wait(age, now.waiting, 0.0)
    left = (now.posted - before.posted) - (now.waiting - before.waiting)
    rate = max(0.0, left / (now.at - before.at))
    is_trusted = rate and now.at - before.at >= TRUSTED_SECONDS
    return Wait(max(age, now.waiting / rate if is_trusted else 0.0), now.waiting, rate)


def busy_looks(before: Iterable[Seen], now: Seen) -> list[Seen]:
    """The latest checks between which the mailbox was never idle, including this one; a bounded number is kept."""
    if now.oldest is None:
        return []
    looks = list(before)
    if looks and looks[-1].at < now.oldest:  # it may have been empty since
        looks = []
    return [*looks[-_KEPT_LOOKS:], now]


class Backlog:
    """The estimated waits of all mailboxes, as seen by this process."""

    def __init__(self, client: Client, *, mailbox_count: int, max_seconds: float, memory_max_percent: int) -> None:
        """`max_seconds` bounds the wait; 0 means no bound. `memory_max_percent` is the share of Redis's `maxmemory`, if
        it has one, that may be in use."""
        self._client = client
        self._mailbox_count = mailbox_count
        self._max_seconds = max_seconds
        self._memory_max_percent = memory_max_percent
        self._memory_is_short = False
        self._looks: Mapping[int, Sequence[Seen]] = {}
        self._waits: Mapping[int, Wait] = {}

    def admit(self, mailbox: int) -> None:
        """Raises a 503 Problem if a command posted to this mailbox now would wait for longer than the bound, or Redis
        has too little memory left."""
        if self._memory_is_short:
            raise Problem(
                "overloaded",
                "The memory that is left is needed for accepted orders; try again later.",
                headers={"Retry-After": str(RETRY_MAX_SECONDS)},
            )
        wait = self._waits.get(mailbox, _NONE)
        if self._max_seconds and wait.seconds > self._max_seconds:
            raise Problem(
                "overloaded",
                "New orders would wait too long for their turn; try again later.",
                headers={"Retry-After": str(self._retry_after(wait))},
            )

    async def run(self) -> None:
        """Checks once a second, for as long as the process lives."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Checks once. While Redis is unavailable nothing is known, and nothing is rejected here: posting fails by
        itself."""
        pipeline = self._client.pipeline(transaction=False)
        for mailbox in range(self._mailbox_count):
            pipeline.execute_command("XINFO STREAM", stream_key(mailbox))
        try:
            answers = await pipeline.execute(raise_on_error=False)
            servers = await info(self._client, "memory")
        except REDIS_UNAVAILABLE:
            answers, servers = [], []
        now = time.time()
        seen = {mailbox: _seen(now, answer) for mailbox, answer in enumerate(answers) if _tells(answer)}
        self._looks = {mailbox: busy_looks(self._looks.get(mailbox, ()), each) for mailbox, each in seen.items()}
        self._waits = {
            mailbox: expected(looks[0] if len(looks) > 1 else None, looks[-1])
            for mailbox, looks in self._looks.items()
            if looks
        }
        self._memory_is_short = any(memory and self._is_short(memory) for memory in servers)

    def _is_short(self, memory: dict[str, Any]) -> bool:
        most = memory.get("maxmemory", 0)
        return bool(most) and 100 * memory["used_memory"] > self._memory_max_percent * most

    def _retry_after(self, wait: Wait) -> int:
        """Seconds until the wait is below the bound."""
        if not wait.per_second:
            return RETRY_MAX_SECONDS
        excess = wait.waiting - wait.per_second * self._max_seconds
        return min(RETRY_MAX_SECONDS, max(1, math.ceil(excess / wait.per_second)))


def _tells(answer: Any) -> bool:
    """Whether this is a proper answer: a mailbox that was never posted to has no stream, and Redis may be loading or
    hide its INFO."""
    return isinstance(answer, dict)


def _seen(now: float, info: dict[str, Any]) -> Seen:
    first = info["first-entry"]
    oldest = None if first is None else entry_order(first[0].decode())[0] / 1000
    return Seen(now, oldest, info["length"], info["entries-added"])
