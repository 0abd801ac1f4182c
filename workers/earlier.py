"""Earlier commands: the command ids and idempotency keys that a batch must not apply a second time.

The gateway's memory in Redis catches nearly every repetition, so a batch is first tried without asking Postgres, and
compared only with itself. If that violates a unique constraint, it is retried with the earlier commands looked up.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import msgspec

from runtime.database import Connection
from runtime.envelope import Envelope


class Owner(msgspec.Struct, frozen=True, gc=False):
    """The command in Postgres that used an idempotency key first."""

    command_id: UUID
    fingerprint: bytes | None


class Earlier:
    """Commands known to exist: those looked up in Postgres, and those of this batch."""

    def __init__(self) -> None:
        self.command_ids: set[UUID] = set()
        self._owners: dict[tuple[str, str], Owner | Envelope] = {}

    def owner_of(self, envelope: Envelope) -> Owner | Envelope | None:
        """The command that used the envelope's idempotency key first, or None."""
        if envelope.idempotency_key is None:
            return None
        return self._owners.get((envelope.principal, envelope.idempotency_key))

    def remember(self, envelope: Envelope) -> None:
        """Records a command of this batch."""
        self.command_ids.add(envelope.command_id)
        if envelope.idempotency_key is not None:
            self._owners.setdefault((envelope.principal, envelope.idempotency_key), envelope)

    @classmethod
    async def look_up(cls, connection: Connection, envelopes: Iterable[Envelope]) -> Earlier:
        """The commands in Postgres with these envelopes' ids or keys."""
        asked = list(envelopes)
        keyed = [(e.principal, e.idempotency_key) for e in asked if e.idempotency_key is not None]
        earlier = cls()
        rows = await connection.fetch(
            """
            SELECT id, NULL::text AS principal, NULL::text AS key, NULL::bytea AS fingerprint
            FROM commands WHERE id = ANY($1::uuid[])
            UNION ALL
            SELECT command_id, principal, key, fingerprint FROM idempotency_keys
            WHERE (principal, key) IN (SELECT * FROM unnest($2::text[], $3::text[]))
            """,
            [e.command_id for e in asked],
            [principal for principal, _ in keyed],
            [key for _, key in keyed],
        )
        for command_id, principal, key, fingerprint in rows:
            if key is None:
                earlier.command_ids.add(command_id)
            else:
                earlier._owners[principal, key] = Owner(command_id, fingerprint)
        return earlier
