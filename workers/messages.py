"""Mailbox entries as a batch sees them: messages, and dead letters, which it could not read."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import NamedTuple

from domain.model import Command
from runtime import envelope as envelopes
from runtime import logs
from runtime.envelope import DeadLetterCode, Envelope, UnreadableEntry
from runtime.mailboxes.inbox import Entry


class Message(NamedTuple):
    """A mailbox entry that could be read."""

    mailbox: int
    entry: Entry
    envelope: Envelope
    command: Command


class DeadLetter(NamedTuple):
    """A mailbox entry that cannot be applied; with its envelope if at least that could be read."""

    mailbox: int
    entry: Entry
    code: DeadLetterCode
    detail: str
    envelope: Envelope | None


def read(mailbox: int, entry: Entry) -> Message | DeadLetter:
    """The message in an entry, or why it cannot be read."""
    try:
        envelope, command = envelopes.decode(entry.fields)
    except UnreadableEntry as error:
        return DeadLetter(mailbox, entry, error.code, error.detail, error.envelope)
    return Message(mailbox, entry, envelope, command)


def about(message: Message | DeadLetter) -> AbstractContextManager[None]:
    """Adds this message's ids to what is logged inside."""
    command = message.command if isinstance(message, Message) else None
    return logs.about(
        command_id=message.envelope and message.envelope.command_id, order_id=getattr(command, "order_id", None)
    )
