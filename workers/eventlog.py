"""What a batch writes into the log: its events, each at its place, and the record and idempotency key of each
command."""

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


class PendingEvent(msgspec.Struct, gc=False):
    """One event of the batch, before it has its place in the log. `data` is its JSON; if the event takes a number, that
    is added later (see `workers/numbering.py`)."""

    type: str
    subject: str
    command_id: UUID
    actor: str
    data: bytes
    version: int = 1


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
    keyed = [each.envelope for each in applied if each.owns_key and each.envelope.idempotency_key is not None]
    inserts.add(_KEYS, [(each.principal, each.idempotency_key, each.command_id, each.fingerprint) for each in keyed])


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
        command.request,
    )


_EVENTS: Final = Columns(
    tables.events,
    ("seq", "type", "subject", "command_id", "actor", "occurred_at", "data", "version"),
    seqs=("seq",),
    moments=("occurred_at",),
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
        "request",
    ),
    seqs=("seq",),
    moments=("applied_at",),
)
_KEYS: Final = Columns(tables.idempotency_keys, ("principal", "key", "command_id", "fingerprint"))
