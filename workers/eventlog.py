"""What a batch writes into the log: its events, each at its place, and the record of each command beside them.

Places are taken with the event counter, the last lock of a batch (see `workers/rows.py`), and held until the commit: so
`seq` has no gaps, and follows commit order; and so do the moments that events happened at, whatever clocks say.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from runtime import tables
from runtime.envelope import Envelope
from runtime.records import moment
from workers.inserts import Columns, Inserts
from workers.rows import Connection


class CommandRow(msgspec.Struct, frozen=True, gc=False):
    """One command as its row in `commands` records it; `first_event` is the place of its first event in the batch."""

    envelope: Envelope
    mailbox: int
    entry_id: str
    request: bytes
    type: str
    status: str
    first_event: int
    event_count: int
    owns_key: bool


class PendingEvent(msgspec.Struct, frozen=True, gc=False):
    """One event of the batch, before it has its place in the log. `data` is its JSON."""

    type: str
    subject: str
    command_id: UUID
    actor: str
    data: bytes
    version: int = 1


class Places(msgspec.Struct, frozen=True, gc=False):
    """Places in the log from `first` on, and their moment."""

    first: int
    at: datetime


async def take_places(connection: Connection, count: int, at: datetime) -> Places:
    """Takes the next `count` places in the log, and with them the counter, until the commit. Their moment is `at`, or
    just after that of the places before, if those were taken by a batch that began later, or by a faster clock."""
    first, moment = await connection.fetchrow(
        """
        UPDATE event_counter
        SET last_seq = last_seq + $1, last_at = greatest($2, last_at + interval '1 microsecond')
        RETURNING last_seq - $1 + 1, last_at
        """,
        count,
        at,
    )
    return Places(first, moment)


def add_log(
    inserts: Inserts, first: int, pending: Sequence[PendingEvent], applied: Sequence[CommandRow], at: datetime
) -> None:
    """Adds the events at their places in the log, from `first` on, and with them the commands' records."""
    inserts.add(
        _EVENTS,
        [
            (seq, event.type, event.subject, event.command_id, event.actor, at, event.data.decode(), event.version)
            for seq, event in enumerate(pending, start=first)
        ],
    )
    inserts.add(_COMMANDS, [_command_row(command, first, at) for command in applied])


def _command_row(command: CommandRow, first_seq: int, at: datetime) -> tuple[object, ...]:
    envelope = command.envelope
    return (
        envelope.command_id,
        command.type,
        envelope.principal,
        moment(envelope.accepted_at),
        at,
        command.mailbox,
        command.entry_id,
        command.status,
        first_seq + command.first_event,
        command.event_count,
        envelope.idempotency_key if command.owns_key else None,
        envelope.fingerprint if command.owns_key else None,
        command.request,
    )


_EVENTS: Final = Columns(
    tables.events, ("seq", "type", "subject", "command_id", "actor", "occurred_at", "data", "version")
)
_COMMANDS: Final = Columns(
    tables.commands,
    (
        "id",
        "type",
        "principal",
        "accepted_at",
        "applied_at",
        "mailbox",
        "entry_id",
        "status",
        "seq",
        "event_count",
        "idempotency_key",
        "fingerprint",
        "request",
    ),
)
