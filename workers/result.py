"""What a batch did, for whatever is notified after its commit."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import msgspec

from runtime.records import EventRecord, Outcome, microseconds
from workers.eventlog import CommandRow, PendingEvent
from workers.tally import Tally


class Result(NamedTuple):
    """What a batch did: its events, in order from `first_seq` on; its commands; the codes of its dead letters; the new
    positions of its mailboxes; and its tally for the metrics."""

    first_seq: int
    events: list[PendingEvent]
    applied: list[CommandRow]
    dead_letters: list[str]
    at: datetime
    positions: dict[int, str]
    tally: Tally

    @property
    def last_seq(self) -> int:
        """The seq of its last event; 0 if it has none."""
        return self.first_seq + len(self.events) - 1 if self.events else 0

    def records(self) -> list[EventRecord]:
        """The batch's part of the log."""
        at = microseconds(self.at)
        return [
            EventRecord(
                seq,
                event.type,
                event.subject,
                event.command_id,
                event.actor,
                at,
                msgspec.Raw(event.data),
                event.version,
            )
            for seq, event in enumerate(self.events, start=self.first_seq)
        ]

    def outcomes(self) -> dict[str, list[Outcome]]:
        """The outcomes that somebody waits for, by reply channel."""
        at = microseconds(self.at)
        by_channel: dict[str, list[Outcome]] = {}
        for command in self.applied:
            if channel := command.envelope.reply_to:
                event = self.events[command.first_event]
                seq = self.first_seq + command.first_event
                data = msgspec.Raw(event.data)
                outcome = Outcome(event.command_id, command.status, seq, event.type, at, data, event.version)
                by_channel.setdefault(channel, []).append(outcome)
        return by_channel
