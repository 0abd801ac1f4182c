"""The fence: nothing is applied to a log that lacks what Redis saw committed.

Redis keeps the identity of the log and the newest seq whose commit was confirmed, for all mailboxes together. It is
told of a seq only after the commit, before anybody is told of the seq's event, and is asked before Postgres is: so a
log that ends before that seq, or has a different identity, was started afresh or restored from an older backup. A batch
notices while it holds its mailbox's position, whichever mailbox that is, and stops; `rejoin` brings both sides back
into step.
"""

from __future__ import annotations

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
    """A log, and a seq of it that is committed."""

    identity: UUID
    seq: int

    def fits(self, log: Confirmed) -> bool:
        """Whether a log that has come this far contains everything up to here."""
        return self.identity == log.identity and self.seq <= log.seq


class Known(NamedTuple):
    """What Redis had seen of the log, and how far this process had brought it, before Postgres was asked."""

    heard: Sequence[Confirmed]
    reached: Confirmed | None

    def check(self, log: Confirmed) -> None:
        """Raises OutOfStep if the log in Postgres lacks anything that Redis has seen, or that this process has
        committed and could not tell Redis yet. What it committed to an earlier log, `rejoin` has dealt with."""
        for known in self.heard:
            if not known.fits(log):
                raise OutOfStep(f"Redis knows of {known}, Postgres has {log}")
        ours = self.reached
        if ours is not None and ours.identity == log.identity and not ours.fits(log):
            raise OutOfStep(f"{ours} was committed here, Postgres has {log}")


# The log's identity and how far it has come; for a transaction that holds the necessary locks.
LOG_OF_TODAY: Final = """
    (SELECT identity FROM log_branches ORDER BY number DESC LIMIT 1) AS identity,
    (SELECT last_seq FROM event_counter) AS last_seq
"""


class Fence:
    """What a process has heard from Redis, and what it has yet to tell Redis."""

    def __init__(self) -> None:
        self._heard: Sequence[Confirmed] | None = None
        self._reached: Confirmed | None = None

    def ask(self, pipeline: Pipeline) -> None:
        """Adds the question to a round trip made before Postgres is asked; its answer goes to `hear`."""
        pipeline.zrange(LOG_KEY, 0, -1, withscores=True)

    def hear(self, answer: Any) -> None:
        """Takes the answer. While the node of a cluster that has it is away, what was heard last stands; raises that if
        nothing was."""
        if not isinstance(answer, NodeUnavailable):
            self._heard = _confirmed(answer)
        elif self._heard is None:
            raise answer

    def known(self) -> Known:
        """What is known now, for the log that Postgres is asked for next. Other batches of the process go on meanwhile:
        what they bring to be known after the question need not be in its answer."""
        return Known(self._heard or (), self._reached)

    def reach(self, log: Confirmed) -> None:
        """Notes what has been committed."""
        if self._reached is None or self._reached.fits(log) or self._reached.identity != log.identity:
            self._reached = log

    def confirm(self, pipeline: Pipeline) -> None:
        """Tells Redis what has been committed, along with other commands. Only `rejoin` introduces a new log."""
        if self._reached is not None:
            always(pipeline, "ZADD", LOG_KEY, "XX", "GT", self._reached.seq, str(self._reached.identity))


async def confirm(client: Client, log: Confirmed) -> None:
    """Tells Redis of a log that somebody has read, and is about to tell others of. Raises what Redis raises."""
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
