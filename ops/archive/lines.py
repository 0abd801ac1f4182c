"""Converts rows of the log to lines of JSON and back, byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

import msgspec

from runtime.partitions import COMMANDS, EVENTS

Row: TypeAlias = tuple[Any, ...]
"""A row of a format's columns; its first one is the key."""


class Format(NamedTuple):
    """How rows of a table are read, and converted to lines and back. `row` raises msgspec.MsgspecError."""

    columns: tuple[str, ...]
    selected: str
    line: Callable[[Row], bytes]
    row: Callable[[bytes], Row]


class EventLine(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An event as one line. `data` is its JSON as stored; if that contains line breaks, it is in `text` instead."""

    seq: int
    type: str
    subject: str
    command_id: UUID
    actor: str
    occurred_at: datetime
    version: int
    data: msgspec.Raw = msgspec.Raw(b"null")
    text: str | None = None


class CommandLine(msgspec.Struct, frozen=True, gc=False):
    """The record of a command as one line. `request` and `fingerprint` are base64."""

    id: UUID
    type: str
    principal: str
    accepted_at: datetime
    applied_at: datetime
    mailbox: int
    entry_id: str
    status: str
    seq: int
    event_count: int
    idempotency_key: str | None
    fingerprint: bytes | None
    request: bytes


_encode: Final = msgspec.json.Encoder().encode
_event: Final = msgspec.json.Decoder(EventLine).decode
_command: Final = msgspec.json.Decoder(CommandLine).decode


def _line_of_event(row: Row) -> bytes:
    seq, kind, subject, command_id, actor, at, version, data = row
    fits = "\n" not in data
    raw, text = (msgspec.Raw(data.encode()), None) if fits else (msgspec.Raw(b"null"), data)
    line = EventLine(seq, kind, subject, command_id, actor, at, version, raw, text)
    return _encode(line) + b"\n"


def _row_of_event(line: bytes) -> Row:
    said = _event(line)
    data = bytes(said.data).decode() if said.text is None else said.text
    return (said.seq, said.type, said.subject, said.command_id, said.actor, said.occurred_at, said.version, data)


def _line_of_command(row: Row) -> bytes:
    return _encode(CommandLine(*row)) + b"\n"


def _row_of_command(line: bytes) -> Row:
    row: Row = msgspec.structs.astuple(_command(line))
    return row


_OF_EVENTS: Final = EventLine.__struct_fields__[:-1]
_OF_COMMANDS: Final = CommandLine.__struct_fields__

FORMATS: Final[Mapping[str, Format]] = {
    EVENTS.table: Format(
        _OF_EVENTS, ", ".join(_OF_EVENTS).replace("data", "data::text"), _line_of_event, _row_of_event
    ),
    COMMANDS.table: Format(_OF_COMMANDS, ", ".join(_OF_COMMANDS), _line_of_command, _row_of_command),
}
"""By table."""
