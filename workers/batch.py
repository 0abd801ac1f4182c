"""One batch: read the letters, load what they need, decide each in mailbox order, and write everything.

It runs inside a transaction that holds the mailbox's position, and changes nothing outside it. A letter that cannot
be read, or whose rule raises, becomes a dead letter beside the others' effects; a database error is the caller's.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from domain.ids import new_id
from domain.model import Command, Event, Rejection, Shop, decide, evolve
from domain.refusals import CommandFailed, CommandRejected, CommandRepeated
from runtime import envelope as envelopes
from runtime.envelope import ENVELOPE_FIELD, Envelope, UnreadableEntry
from runtime.mailboxes.inbox import Entry, entry_order
from runtime.records import APPLIED, FAILED, REJECTED, REPEATED, EventRecord, Outcome, microseconds
from workers.earlier import Earlier
from workers.handlers import gather_needs, gather_rows
from workers.rows import Applied, Connection, Needs, Rows, load, write_log

_log = logging.getLogger(__name__)
_json = msgspec.json.Encoder()

UNREADABLE_COMMAND_TYPE = "unreadable"


class Letter(NamedTuple):
    """A mailbox entry that could be read."""

    entry: Entry
    envelope: Envelope
    command: Command


class DeadLetter(NamedTuple):
    """A mailbox entry that cannot be applied; the envelope is there if at least that could be read."""

    entry: Entry
    code: str
    detail: str
    envelope: Envelope | None


class Result(NamedTuple):
    """What a batch did: its part of the log, and whom to tell what. `channels` go with `outcomes`."""

    records: list[EventRecord]
    outcomes: list[tuple[str, Outcome]]
    commands: list[Applied]
    dead_letters: int


def read(entry: Entry) -> Letter | DeadLetter:
    """The letter in an entry, or why there is none."""
    try:
        envelope, command = envelopes.decode(entry.fields)
    except UnreadableEntry as error:
        return DeadLetter(entry, error.code, error.detail, error.envelope)
    return Letter(entry, envelope, command)


class Batch:
    """Decides the letters of one batch and gathers what they write."""

    def __init__(self, mailbox: int, shop: Shop, earlier: Earlier, at: datetime) -> None:
        self._mailbox = mailbox
        self._shop = shop
        self._earlier = earlier
        self._at = at
        self._at_microseconds = microseconds(at)
        self.rows = Rows()
        self.records: list[EventRecord] = []
        self.applied: list[Applied] = []

    def take(self, letter: Letter | DeadLetter) -> None:
        """Decides one letter on the shop as its predecessors left it."""
        if isinstance(letter, DeadLetter):
            self._bury(letter)
            return
        envelope, command = letter.envelope, letter.command
        if envelope.command_id in self._earlier.command_ids:
            return  # the very same command once more: all that it does is done
        kind = type(command).__name__
        first = self._earlier.owner_of(envelope)
        if first is not None and first.fingerprint == envelope.fingerprint:
            self._record(letter, kind, REPEATED, (CommandRepeated(envelope.command_id, kind, first.command_id),))
            return
        if first is not None:
            decision: Sequence[Event] | Rejection = Rejection(
                "idempotency_key_reused", "This idempotency key was used for another request."
            )
        else:
            try:
                decision = decide(self._shop, command, envelope.who)
            except Exception as error:
                _log.exception("the rule of %s raised; command %s is a dead letter", kind, envelope.command_id)
                self._bury(DeadLetter(letter.entry, "rule_raised", f"{type(error).__name__}: {error}", envelope), kind)
                return
        if isinstance(decision, Rejection):
            rejected = CommandRejected(envelope.command_id, kind, decision.code, decision.detail, decision.particulars)
            self._record(letter, kind, REJECTED, (rejected,), owns_key=first is None)
            return
        for event in decision:
            evolve(self._shop, event)
            gather_rows(event, self.rows, self._at)
        self._record(letter, kind, APPLIED, decision)

    async def write(self, connection: Connection) -> Result:
        """Writes everything; the records get their places in the log."""
        await self.rows.write(connection, self._shop)
        if not self.records:
            return Result([], [], [], len(self.rows.dead_letters))
        first = await write_log(connection, self._mailbox, self.records, self.applied, self._at)
        records = [
            EventRecord(first + r.seq, r.type, r.subject, r.command_id, r.actor, r.occurred_at, r.data)
            for r in self.records
        ]
        outcomes = [
            (command.envelope.reply_to, _outcome(command, records[command.first_event]))
            for command in self.applied
            if command.envelope.reply_to
        ]
        return Result(records, outcomes, self.applied, len(self.rows.dead_letters))

    def _record(
        self, letter: Letter | DeadLetter, kind: str, status: str, events: Sequence[Event], *, owns_key: bool = True
    ) -> None:
        envelope = letter.envelope
        assert envelope is not None
        self.applied.append(
            Applied(
                envelope,
                letter.entry.entry_id,
                letter.entry.fields.get(ENVELOPE_FIELD, b""),
                kind,
                status,
                len(self.records),
                len(events),
                owns_key and status != REPEATED,
            )
        )
        self._earlier.remember(envelope)
        for event in events:
            self.records.append(
                EventRecord(
                    len(self.records),
                    event.type,
                    event.subject(),
                    envelope.command_id,
                    envelope.principal,
                    self._at_microseconds,
                    msgspec.Raw(_json.encode(event)),
                )
            )

    def _bury(self, letter: DeadLetter, kind: str = UNREADABLE_COMMAND_TYPE) -> None:
        """Puts the entry aside as it came. Its command, if it has one, has failed, and that is in the log."""
        envelope = letter.envelope or _stand_in(self._mailbox, letter.entry)
        self.rows.dead_letters.append(
            (
                self._mailbox,
                letter.entry.entry_id,
                envelope.command_id,
                letter.code,
                letter.detail,
                msgspec.msgpack.encode(letter.entry.fields),
                self._at,
            )
        )
        if envelope.command_id in self._earlier.command_ids:
            return
        failed = CommandFailed(envelope.command_id, kind, letter.code, letter.detail)
        self._record(letter._replace(envelope=envelope), kind, FAILED, (failed,))


def _stand_in(mailbox: int, entry: Entry) -> Envelope:
    """An envelope for an entry that has none: nobody asked, but the log and the audit must know of it."""
    milliseconds, sequence = entry_order(entry.entry_id)
    command_id = new_id(milliseconds, 0, mailbox << 48 | sequence)  # the same at every attempt, and no one else's
    return Envelope(command_id, "", False, milliseconds * 1000, msgspec.Raw(b""))


def _outcome(command: Applied, record: EventRecord) -> Outcome:
    return Outcome(record.command_id, command.status, record.seq, record.type, record.occurred_at, record.data)


async def apply(
    connection: Connection, mailbox: int, letters: Sequence[Letter | DeadLetter], earlier: Earlier
) -> Result:
    """Applies the letters, in order, within the caller's transaction."""
    needs = Needs()
    for letter in letters:
        if isinstance(letter, Letter):
            gather_needs(letter.command, needs)
    shop = await load(connection, needs)
    batch = Batch(mailbox, shop, earlier, datetime.now(UTC))
    for letter in letters:
        batch.take(letter)
    return await batch.write(connection)
