"""Which log this is: its identity, and where in it another one began.

A log that was begun anew, or goes on from an older backup, gives out seqs that were given out before, for other events.
So every log has an identity of its own, and goes on under another one from where it was put back: a branch. Whoever
knows the identity and a seq can be told whether what they have seen is still so. As event `id` is its seq, the identity
is what makes a CloudEvent's `source` and `id` name one event in all the world.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any] | asyncpg.Pool[Any]"

BRANCHES = "SELECT identity, after_seq FROM log_branches ORDER BY number"


class Branch(NamedTuple):
    """The log behind `after_seq`, until the next branch begins."""

    identity: UUID
    after_seq: int


class Branches(tuple[Branch, ...]):
    """All branches of the log, oldest first; there is at least one."""

    @classmethod
    def of(cls, rows: Sequence[Sequence[Any]]) -> Branches:
        """From the rows of `BRANCHES`."""
        return cls(Branch(UUID(int=identity.int), after_seq) for identity, after_seq in rows)

    @property
    def identity(self) -> UUID:
        """What the log is called now."""
        return self[-1].identity

    def source(self, seq: int) -> str:
        """Where the event came from, as CloudEvents have it: the branch that it was written in."""
        identity = next((branch.identity for branch in reversed(self) if branch.after_seq < seq), self[0].identity)
        return _urn(identity)

    def hold(self, identity: UUID, seq: int) -> bool:
        """Whether what was seen of the log `identity` up to `seq` is a part of this one."""
        for number, branch in enumerate(self):
            if branch.identity == identity:
                return number + 1 == len(self) or seq <= self[number + 1].after_seq
        return False


@lru_cache(maxsize=64)
def _urn(identity: UUID) -> str:
    return f"urn:uuid:{identity}"


async def read_branches(connection: Connection) -> Branches:
    """The branches as they stand in Postgres."""
    return Branches.of(await connection.fetch(BRANCHES))


async def begin_branch(
    connection: asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any], known: UUID
) -> UUID:
    """The log goes on under a new identity, unless it has done so since it was `known`; returns today's. The counter is
    held meanwhile, so that nothing is written between."""
    async with connection.transaction():
        last_seq: int = await connection.fetchval("SELECT last_seq FROM event_counter FOR UPDATE")
        today = (await read_branches(connection)).identity
        if today == known:
            await connection.execute(
                """
                INSERT INTO log_branches (number, identity, after_seq, begun_at)
                SELECT max(number) + 1, gen_random_uuid(), $1, now() FROM log_branches
                """,
                last_seq,
            )
            today = (await read_branches(connection)).identity
    return today
