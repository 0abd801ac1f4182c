"""Limits on mails per recipient and per sender, counted in Redis under digests of their names. A mail counts once, by
the seq of its event, so that a retry is not held back by its own first attempt.
"""

from __future__ import annotations

import hashlib
import time
from typing import Final

from redis.asyncio import Redis

from runtime.metrics import MAILS_WITHHELD

RECIPIENT: Final = "recipient"
SENDER: Final = "sender"

_DIGEST_BYTES: Final = 16

MAILS_WITHHELD.allow(policy=(RECIPIENT, SENDER))


class Quota:
    """A limit on mails per name within a time window. `policy` is the limit's name."""

    def __init__(self, redis: Redis, policy: str, *, most: int, window_seconds: int) -> None:
        self._redis = redis
        self._policy = policy
        self._most = most
        self._window_seconds = window_seconds

    async def takes(self, name: str, seq: int) -> bool:
        """Whether the mail about the event may be sent; if so, counts it. Raises what Redis raises."""
        digest = hashlib.blake2b(name.encode(), digest_size=_DIGEST_BYTES).hexdigest()
        key, member, now = f"mail:{self._policy}:{digest}", str(seq), time.time()
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.zremrangebyscore(key, "-inf", now - self._window_seconds)
        pipeline.zadd(key, {member: now}, nx=True)
        pipeline.zrank(key, member)
        pipeline.expire(key, self._window_seconds)
        place = (await pipeline.execute())[2]
        if place < self._most:
            return True
        await self._redis.zrem(key, member)
        MAILS_WITHHELD.labels(self._policy).inc()
        return False
