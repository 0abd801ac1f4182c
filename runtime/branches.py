"""The identity of the log, and the branches where it changed.

A log that starts from scratch, or continues from an older backup, assigns seqs that other events have used before. So
each log has an identity, and a restored log continues under a new one: a branch. An identity and a seq tell whether
what a reader has seen is still part of the log. An event's `id` is its seq, so the identity is what makes a
CloudEvent's `source` and `id` globally unique.
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
    """The log after `after_seq`, up to where the next branch begins."""

    identity: UUID
    after_seq: int


class Branches(tuple[Branch, ...]):
    """All branches of the log, oldest first; there is at least one."""

    @classmethod
    def of(cls, rows: Sequence[Sequence[Any]]) -> Branches:
        """Built from the rows of `BRANCHES`."""
        return cls(Branch(UUID(int=identity.int), after_seq) for identity, after_seq in rows)

    @property
    def identity(self) -> UUID:
        """The log's current identity."""
        return self[-1].identity

    def source(self, seq: int) -> str:
        """The event's CloudEvents `source`: the branch in which it was written."""
        identity = next((branch.identity for branch in reversed(self) if branch.after_seq < seq), self[0].identity)
        return _urn(identity)

    def hold(self, identity: UUID, seq: int) -> bool:
        """Whether the log `identity` up to `seq` is part of this one."""
        for number, branch in enumerate(self):
            if branch.identity == identity:
                return number + 1 == len(self) or seq <= self[number + 1].after_seq
        return False


@lru_cache(maxsize=64)
def _urn(identity: UUID) -> str:
    return f"urn:uuid:{identity}"


async def read_branches(connection: Connection) -> Branches:
    """The branches in Postgres."""
    return Branches.of(await connection.fetch(BRANCHES))


async def begin_branch(
    connection: asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any], known: UUID
) -> UUID:
    """Continues the log under a new identity, unless it has changed since `known`; returns the current one. Holds the
    event counter, so that nothing is written in between."""
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
