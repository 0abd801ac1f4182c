"""The fence: nothing is applied to a log that lacks events whose commit Redis knows of.

Redis keeps the identity of the log and its confirmed seq: the newest seq known to be committed, for all mailboxes
together. Redis is told of a seq after its commit, before anyone hears of its event, and is asked before Postgres is. So
a log that ends before the confirmed seq, or has a different identity, started from scratch or was restored from an
older backup. Any batch notices this while it holds its mailboxes' positions, and stops; `rejoin` brings both sides back
into step.

A connection that was opened after Redis was asked may reach a Postgres that has been restored meanwhile, without what
Redis was told in between. So for such a connection, Redis is asked again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from redis.asyncio import Redis

from runtime.mailboxes.redis_keys import LOG_KEY
from runtime.redis_client import always
from runtime.redis_cluster import NodeUnavailable
from runtime.redis_pipeline import Client, Pipeline


class OutOfStep(Exception):
    """Redis has seen more of the log than Postgres has, or a different log."""


class Confirmed(NamedTuple):
    """The identity of a log, and a seq of it that is committed."""

    identity: UUID
    seq: int

    def fits(self, log: Confirmed) -> bool:
        """Whether that log contains everything up to here."""
        return self.identity == log.identity and self.seq <= log.seq


class Known(NamedTuple):
    """What Redis knew of the log, and what this process had committed to it, before Postgres was asked."""

    heard: Sequence[Confirmed]
    reached: Confirmed | None

    def check(self, log: Confirmed) -> None:
        """Raises OutOfStep if the log in Postgres lacks anything that Redis knows of, or that this process has
        committed and could not tell Redis yet. `rejoin` has dealt with what it committed to an earlier log."""
        for known in self.heard:
            if not known.fits(log):
                raise OutOfStep(f"Redis knows of {known}, Postgres has {log}")
        ours = self.reached
        if ours is not None and ours.identity == log.identity and not ours.fits(log):
            raise OutOfStep(f"{ours} was committed here, Postgres has {log}")


# The log's identity and last seq; for a transaction that holds the necessary locks.
LOG_OF_TODAY: Final = """
    (SELECT identity FROM log_branches ORDER BY number DESC LIMIT 1) AS identity,
    (SELECT last_seq FROM event_counter) AS last_seq
"""


class Fence:
    """What a process has heard from Redis about the log, and what it has yet to tell Redis."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._heard: Sequence[Confirmed] | None = None
        self._asked_at = float("-inf")
        self._reached: Confirmed | None = None

    def ask(self, pipeline: Pipeline) -> float:
        """Adds the question to a round trip made before Postgres is asked; its answer goes to `hear`, with the time
        that this returns."""
        pipeline.zrange(LOG_KEY, 0, -1, withscores=True)
        return time.monotonic()

    def hear(self, answer: Any, asked_at: float) -> None:
        """Takes the answer. While the cluster node that knows it is unavailable, the last answer counts; raises
        NodeUnavailable if there is none."""
        if not isinstance(answer, NodeUnavailable):
            self._heard, self._asked_at = _confirmed(answer), asked_at
        elif self._heard is None:
            raise answer

    async def known(self, opened_at: float) -> Known:
        """What is known now, to be compared with the log that Postgres is asked for next, on a connection opened at
        this time (`time.monotonic`). Take it before asking: other batches of this process may commit more meanwhile,
        which Postgres's answer need not contain. Asks Redis if it was last asked before the connection was opened;
        raises what Redis raises."""
        if self._asked_at <= opened_at:
            asked_at = time.monotonic()
            self._heard, self._asked_at = await known_to(self._client), asked_at
        return Known(self._heard or (), self._reached)

    def reach(self, log: Confirmed) -> None:
        """Notes what has been committed."""
        if self._reached is None or self._reached.fits(log) or self._reached.identity != log.identity:
            self._reached = log

    def confirm(self, pipeline: Pipeline) -> None:
        """Tells Redis what has been committed, along with other commands. Only `rejoin` replaces a known log."""
        if self._reached is not None:
            always(pipeline, "ZADD", LOG_KEY, "XX", "GT", self._reached.seq, str(self._reached.identity))


async def confirm(client: Client, log: Confirmed) -> None:
    """Tells Redis of a committed seq that the caller has read and is about to pass on. Raises what Redis raises."""
    await always(client, "ZADD", LOG_KEY, "XX", "GT", log.seq, str(log.identity))


async def known_to(client: Redis) -> Sequence[Confirmed]:
    """What Redis knows of the log: nothing when it is new, and several entries only if two processes rejoined at
    once."""
    return _confirmed(await client.zrange(LOG_KEY, 0, -1, withscores=True))


async def make_known(client: Client, log: Confirmed, before: Sequence[Confirmed]) -> None:
    """Makes this log the one that Redis knows, replacing any other."""
    pipeline = client.pipeline(transaction=True)
    always(pipeline, "ZADD", LOG_KEY, "GT", log.seq, str(log.identity))
    for known in before:
        if known.identity != log.identity:
            pipeline.zrem(LOG_KEY, str(known.identity))
    await pipeline.execute()


def _confirmed(answer: Any) -> Sequence[Confirmed]:
    return [Confirmed(UUID(identity.decode()), int(seq)) for identity, seq in answer]
