"""The position of each reaction in the log, kept in its row in `reactions`, and who may advance it. A run holds the
reaction's lease. Every step is fenced by the lease's token and by the position it starts from, so a run that has lost
its lease, or whose position a command has moved, can no longer change anything. All times are by Postgres's clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import asyncpg

from workers.failures import ERROR_MAX_CHARS
from workers.leases import FREE, RELEASED, must_hold
from workers.reactions.core import Failure, Reaction
from workers.reactions.log_pages import STRETCH_MAX_EVENTS

_MAY_RUN: Final = f"{FREE} AND (due_at IS NULL OR due_at <= now())"

_MOVED: Final = "failures = 0, blamed = 0, failing_since = NULL, last_error = NULL, updated_at = now()"
"""SQL, for a SET: what else changes with the position."""


class Held(NamedTuple):
    """A reaction's row at the moment its lease was taken."""

    name: str
    token: UUID
    position: int
    failures: int
    blamed: int
    failing_since: datetime | None


class Positions:
    """The rows of all reactions. Each method is one statement."""

    def __init__(self, pool: asyncpg.Pool[Any], *, lease_seconds: float) -> None:
        self._pool = pool
        self._lease_seconds = lease_seconds

    async def know(self, reactions: Collection[Reaction]) -> None:
        """Creates missing rows, and notes which reactions there are and how old their events must be."""
        await self._pool.execute(
            """
            INSERT INTO reactions AS r (name, position, delay_seconds, updated_at)
            SELECT v.name, CASE WHEN v.at_end THEN c.last_seq ELSE 0 END, v.delay_seconds, now()
            FROM unnest($1::text[], $2::bool[], $3::float8[]) AS v (name, at_end, delay_seconds), event_counter c
            ON CONFLICT (name) DO UPDATE SET active = true, delay_seconds = excluded.delay_seconds, due_at = NULL
            WHERE NOT r.active OR r.delay_seconds <> excluded.delay_seconds
            """,
            [reaction.name for reaction in reactions],
            [reaction.begins_at_end for reaction in reactions],
            [float(reaction.delay_seconds) for reaction in reactions],
        )
        await self._pool.execute(
            "UPDATE reactions SET active = false WHERE active AND name <> ALL($1::text[])",
            [reaction.name for reaction in reactions],
        )

    async def lack(self, names: Collection[str]) -> bool:
        """Whether one of these reactions has no row."""
        found: int = await self._pool.fetchval(
            "SELECT count(*) FROM reactions WHERE name = ANY($1::text[])", list(names)
        )
        return found < len(names)

    async def due(self, names: Iterable[str]) -> list[str]:
        """The reactions that have events to handle, may run now, and are not running."""
        rows = await self._pool.fetch(
            f"""
            SELECT r.name FROM reactions r, event_counter c
            WHERE r.name = ANY($1::text[]) AND r.position < c.last_seq AND {_MAY_RUN}
            ORDER BY r.due_at NULLS FIRST
            """,  # noqa: S608 - only our own constants go in
            list(names),
        )
        return [row["name"] for row in rows]

    async def take(self, name: str) -> Held | None:
        """Takes the lease; None if somebody else holds it, or if the reaction must wait."""
        row = await self._pool.fetchrow(
            f"""
            UPDATE reactions r SET lease_token = $2, lease_until = now() + $3 * interval '1 second'
            WHERE r.name = $1 AND {_MAY_RUN}
            RETURNING r.name, r.lease_token, r.position, r.failures, r.blamed, r.failing_since
            """,  # noqa: S608 - only our own constants go in
            name,
            uuid4(),
            self._lease_seconds,
        )
        return Held(*row) if row is not None else None

    async def move(self, held: Held, to: int) -> Held:
        """Records that everything up to `to` is handled or of no interest. Raises LeaseLost."""
        await self._must(
            f"""
            UPDATE reactions SET position = $4, {_MOVED} WHERE name = $1 AND lease_token = $2 AND position = $3
            """,  # noqa: S608 - only our own constants go in
            held.name,
            held.token,
            held.position,
            to,
        )
        return held._replace(position=to, failures=0, blamed=0, failing_since=None)

    async def note_failure(self, held: Held, failure: Failure, error: str, retry_seconds: float) -> None:
        """Records that the event after the position could not be handled, and gives the lease back until it is time for
        another attempt. Raises LeaseLost."""
        await self._must(
            f"""
            UPDATE reactions SET failures = $4, blamed = $5, failing_since = $6, last_error = $7,
                due_at = now() + $8 * interval '1 second', {RELEASED}, updated_at = now()
            WHERE name = $1 AND lease_token = $2 AND position = $3
            """,  # noqa: S608 - only our own constants go in
            held.name,
            held.token,
            held.position,
            failure.failures,
            failure.blamed,
            failure.since,
            error[:ERROR_MAX_CHARS],
            retry_seconds,
        )

    async def dead_letter(self, held: Held, seq: int, error: str) -> Held:
        """Makes an event a dead letter, and moves the position past it. Raises LeaseLost."""
        await self._must(
            """
            WITH given_up AS (
                UPDATE reactions SET position = $4, failures = 0, blamed = 0, failing_since = NULL, last_error = $5,
                    updated_at = now()
                WHERE name = $1 AND lease_token = $2 AND position = $3 RETURNING name
            )
            INSERT INTO reaction_dead_letters AS d (reaction, seq, error, at) SELECT name, $4, $5, now() FROM given_up
            ON CONFLICT (reaction, seq) DO UPDATE SET error = excluded.error, at = excluded.at
            """,
            held.name,
            held.token,
            held.position,
            seq,
            error[:ERROR_MAX_CHARS],
        )
        return held._replace(position=seq, failures=0, blamed=0, failing_since=None)

    async def leave(
        self, held: Held, interests: Collection[str] | None, due_at: datetime | None = None, *, to: int | None = None
    ) -> bool:
        """Gives the lease back, and records, as `move` does, that everything up to `to` is done; the reaction must not
        run before `due_at`. Returns whether the log holds an event of interest after that: if it arrived just now, a
        process that tried to handle it found the lease taken. If a lot follows, not all of it is searched. Does nothing
        if the lease has already been lost."""
        moves = f"{_MOVED}, " if to is not None and to > held.position else ""
        more: bool | None = await self._pool.fetchval(
            f"""
            UPDATE reactions r SET {moves}position = $6, {RELEASED}, due_at = $3
            FROM event_counter c WHERE r.name = $1 AND r.lease_token = $2
            RETURNING c.last_seq > r.position + $5 OR EXISTS (
                SELECT FROM events e WHERE e.seq > r.position AND e.seq <= r.position + $5
                    AND ($4::text[] IS NULL OR e.type = ANY($4::text[]))
            )
            """,  # noqa: S608 - only our own constants go in
            held.name,
            held.token,
            due_at,
            None if interests is None else list(interests),
            STRETCH_MAX_EVENTS,
            held.position if to is None else to,
        )
        return bool(more)

    async def _must(self, statement: str, *arguments: object) -> None:
        must_hold(await self._pool.execute(statement, *arguments), arguments[0])
