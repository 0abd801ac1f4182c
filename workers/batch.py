"""One batch: read the messages, load what they need, decide each in mailbox order, and write everything.

It runs inside a transaction that holds the mailboxes' positions, or as one statement that takes its locks only when it
writes (see `workers/at_once.py`). It has no other effects. A message that cannot be read, or whose rule raises, becomes
a dead letter in the same transaction; database errors are left to the caller.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from domain.ids import new_id
from domain.model import Context, Event, Private, Rejection, decide, evolve
from domain.refusals import CommandFailed, CommandRejected, CommandRepeated
from runtime import envelope as envelopes
from runtime.database import Connection
from runtime.envelope import ENVELOPE_FIELD, MOMENT_MAX_MICROSECONDS, Envelope
from runtime.mailboxes.fence import Confirmed, Known
from runtime.mailboxes.inbox import Entry, entry_order
from runtime.metrics import UNREADABLE_COMMAND_TYPE
from runtime.records import APPLIED, FAILED, REJECTED, REPEATED
from runtime.terms import TermsMemory
from workers import at_once
from workers.earlier import Earlier
from workers.erasing import are_of_erased, erase_written
from workers.eventlog import CommandRow, PendingEvent, add_log
from workers.guarded import move_guards
from workers.handlers import gather_reads, gather_rows
from workers.inserts import Inserts, Reached
from workers.loading import Loaded, ReadSet, load, look
from workers.messages import DeadLetter, Message, about
from workers.numbering import Numbering
from workers.places import take_places
from workers.result import Result
from workers.rows import (
    Rows,
    add_lines,
    move_entities,
    write_entities,
    write_orders,
    written_checkouts,
    written_entities,
)
from workers.stale import StaleRead
from workers.statements import execute
from workers.stopwatch import Stopwatch
from workers.tally import Tally

_log = logging.getLogger(__name__)


def _hide(value: object) -> None:
    assert isinstance(value, Private), f"{value!r} has no place in the log"


_json = msgspec.json.Encoder(enc_hook=_hide)


class Batch:
    """Decides the messages of one batch and gathers what they write. Only if the loaded rows are `held` are they
    certain to be consistent, so that an exception in a rule can be blamed on the message."""

    def __init__(self, loaded: Loaded, earlier: Earlier, at: datetime, *, held: bool) -> None:
        self._loaded = loaded
        self._shop = loaded.shop
        self._earlier = earlier
        self._at = at
        self._held = held
        self._rows = Rows()
        self._inserts = Inserts()
        self._reached: dict[int, Reached] = {}
        self._pending: list[PendingEvent] = []
        self._applied: list[CommandRow] = []
        self._dead_letters: list[str] = []
        self._numbering = Numbering()
        self._tally = Tally()

    def take(self, message: Message | DeadLetter) -> None:
        """Decides one message on the shop as the messages before it left it. Raises ForeignWrite if its rule changes an
        entity of another slot; if nothing is held, also raises whatever the rule raises."""
        taken = self._reached.get(message.mailbox)
        self._reached[message.mailbox] = Reached(message.entry.entry_id, taken.entries + 1 if taken else 1)
        if isinstance(message, DeadLetter):
            self._dead_letter(message)
            return
        envelope, command = message.envelope, message.command
        if envelope.command_id in self._earlier.command_ids:
            return  # the same command, delivered again: it has already been applied
        kind = type(command).__name__
        first = self._earlier.owner_of(envelope)
        if first is not None and first.fingerprint == envelope.fingerprint:
            self._record(message, kind, REPEATED, (CommandRepeated(envelope.command_id, kind, first.command_id),))
            return
        if first is not None:
            decision: Sequence[Event] | Rejection = Rejection(
                "idempotency_key_reused", "This idempotency key was already used for a different request."
            )
        else:
            try:
                decision = decide(self._shop, command, Context(envelope.actor(), self._at))
            except Exception as error:
                if not self._held:
                    raise
                with about(message):
                    _log.exception("the rule of %s raised for command %s", kind, envelope.command_id)
                said = f"{type(error).__name__}: {error}"
                self._dead_letter(DeadLetter(message.mailbox, message.entry, "rule_raised", said, envelope), kind)
                return
        if isinstance(decision, Rejection):
            # Balances and guards are checked again at the write. Whatever else may have changed meanwhile (say, a slug
            # has become free) was true a moment ago, and a rejection changes nothing.
            if decision.short:
                self._rows.balances.lack(decision.short)
            self._tally.refuse(kind, decision.code)
            rejected = CommandRejected(envelope.command_id, kind, decision.code, decision.detail, decision.particulars)
            self._record(message, kind, REJECTED, (rejected,), owns_key=first is None)
            return
        for place, event in enumerate(decision, start=len(self._pending)):
            evolve(self._shop, event)
            self._rows.balances.move(event.moves())
            self._rows.place = place
            gather_rows(event, self._rows)
            self._rows.outbox.schedule(event, envelope.command_id, place)
        self._loaded.writes.settle(command)
        self._tally.tell(decision)
        self._record(message, kind, APPLIED, decision)

    async def write(self, connection: Connection) -> Result:
        """Writes everything. Raises StaleRead if something that the decisions depend on has changed."""
        await self._rows.write(connection)
        add_lines(self._inserts, self._loaded)
        await self._inserts.copy(connection)  # the counter is not held yet
        moved_guards = await write_entities(connection, self._loaded, self._at)
        if not self._pending:
            await self._rows.write_placed(connection, self._at)
            await self._inserts.write(connection, self._reached, self._at)
            return Result(0, [], [], self._dead_letters, self._at, self._positions(), self._tally)
        places, before = await take_places(connection, len(self._pending), self._at, self._numbering.counts())
        first, at = places.first, places.at
        numbers = self._numbering.give(self._pending, before)
        await self._rows.balances.write(connection, self._loaded.assumptions)
        if moved_guards:
            await move_guards(connection, moved_guards, first + len(self._pending) - 1)
        await write_orders(connection, self._inserts, self._loaded, self._rows.places_of_orders, first, numbers, at)
        await self._rows.write_placed(connection, at)
        await self._rows.outbox.write(connection, at)
        self._rows.outbox.add(self._inserts, first)
        self._rows.add_numbers_of_invoices(self._inserts, numbers)
        if at != self._at:
            await move_entities(connection, self._loaded, at)
        add_log(self._inserts, first, self._pending, self._applied, at)
        await self._inserts.write(connection, self._reached, at)
        await erase_written(connection, written_checkouts(self._loaded))
        await self._rows.erasure.write(connection)
        return Result(first, self._pending, self._applied, self._dead_letters, at, self._positions(), self._tally)

    async def write_at_once(
        self, connection: Connection, held: Mapping[int, str], log: Confirmed, numbered: Sequence[int]
    ) -> Result | None:
        """Writes everything in one statement (a transaction of its own), provided that the log and the mailboxes have
        not moved: then nothing that was read has changed, and the next numbers are still free. Otherwise raises
        StaleRead. Returns None if one statement is not enough. In both cases nothing is written."""
        balances = self._rows.balances.unguarded(self._loaded.assumptions)
        if balances is None or not (self._pending and self._rows.fit_one_statement):
            return None
        numbers = self._numbering.give(self._pending, numbered)
        written = written_entities(self._loaded, self._rows.numbers_of_invoices(numbers))
        if written is None or await are_of_erased(connection, written_checkouts(self._loaded)):
            return None
        add_lines(self._inserts, self._loaded)
        await write_orders(connection, self._inserts, self._loaded, self._rows.places_of_orders, 0, numbers, self._at)
        self._rows.outbox.add(self._inserts, 0)
        add_log(self._inserts, 0, self._pending, self._applied, self._at)
        # Another batch may hold the rows to be changed, or the unique values of new ones.
        counts, changes = self._numbering.counts(), bool(written) or any(self._loaded.before.values())
        undisturbed = at_once.places(
            len(self._pending), self._at, counts, log.seq, held, self._reached, changes=changes
        )
        parts = [*undisturbed, *balances, *written, *self._inserts.parts(self._reached)]
        places = await execute(connection, parts)
        if places is None:
            raise StaleRead("log_moved")
        return Result(places.first, self._pending, self._applied, [], places.at, self._positions(), self._tally)

    def _positions(self) -> dict[int, str]:
        return {mailbox: reached.position for mailbox, reached in self._reached.items()}

    def _record(
        self, message: Message | DeadLetter, kind: str, status: str, events: Sequence[Event], *, owns_key: bool = True
    ) -> None:
        envelope = message.envelope
        assert envelope is not None
        command = message.command if isinstance(message, Message) else None
        self._applied.append(
            CommandRow(
                envelope,
                message.mailbox,
                message.entry.entry_id,
                envelopes.record(envelope, message.entry.fields.get(ENVELOPE_FIELD, b""), command).envelope,
                kind,
                status,
                len(self._pending),
                len(events),
                owns_key and status != REPEATED,
            )
        )
        self._earlier.remember(envelope)
        for event in events:
            data = _json.encode(event)
            self._numbering.note(event, len(self._pending))
            self._pending.append(
                PendingEvent(
                    event.type, event.subject(), envelope.command_id, envelope.principal, data, event.schema_version
                )
            )

    def _dead_letter(self, message: DeadLetter, kind: str = UNREADABLE_COMMAND_TYPE) -> None:
        """Puts the entry aside, without its private data, and records in the log that its command failed. An unreadable
        entry is kept as it came, for a limited time."""
        envelope = message.envelope or _stand_in(message.mailbox, message.entry)
        entry, kept = message.entry.fields, None
        if message.envelope is not None:
            kept = envelopes.record(message.envelope, entry[ENVELOPE_FIELD], None)
        understood = kept is not None and envelopes.EVERYTHING not in kept.lost
        if kept is not None and understood:
            entry = {**entry, ENVELOPE_FIELD: kept.envelope}
        self._dead_letters.append(message.code)
        self._rows.dead_letters.append(
            (
                message.mailbox,
                message.entry.entry_id,
                envelope.command_id,
                message.code,
                message.detail,
                msgspec.msgpack.encode(entry),
                kept.lost if kept is not None and understood else (),
                understood,
            )
        )
        if envelope.command_id in self._earlier.command_ids:
            return
        failed = CommandFailed(envelope.command_id, kind, message.code, message.detail)
        owns_key = self._earlier.owner_of(envelope) is None
        self._record(message._replace(envelope=envelope), kind, FAILED, (failed,), owns_key=owns_key)


def _stand_in(mailbox: int, entry: Entry) -> Envelope:
    """An envelope for an entry without a readable one, so that the log and the audit record it. Nobody waits for it."""
    milliseconds, sequence = entry_order(entry.entry_id)
    milliseconds = min(milliseconds, MOMENT_MAX_MICROSECONDS // 1000)  # an entry put in by hand may have any id
    command_id = new_id(milliseconds, 0, mailbox << 48 | sequence)  # unique, and the same at every attempt
    return Envelope(command_id, "", False, milliseconds * 1000, msgspec.Raw(b""))


async def apply(
    connection: Connection,
    messages: Sequence[Message | DeadLetter],
    earlier: Earlier,
    *,
    alone: bool,
    at: datetime | None = None,
    watch: Stopwatch | None = None,
    memory: TermsMemory | None = None,
) -> Result:
    """Applies the messages, in order, within the caller's transaction, at the moment `at` (by default, now).

    With `alone`, the batch holds the event counter, so no other batch can move balances or guards. Without it, may
    raise StaleRead: then roll back.
    """
    watch = watch or Stopwatch()
    read_set = _reads(messages, at)
    loaded = await load(connection, read_set, alone=alone, memory=memory)
    watch.lap("load")
    decided = _decided(loaded, earlier, messages, read_set.at, held=True)
    watch.lap("decide")
    result = await decided.write(connection)
    watch.lap("write")
    return result


async def apply_at_once(
    connection: Connection,
    messages: Sequence[Message | DeadLetter],
    held: Mapping[int, str],
    known: Known,
    watch: Stopwatch,
    memory: TermsMemory,
) -> tuple[Result, Confirmed] | None:
    """Applies the messages, in order, in one statement, provided that their mailboxes are at the positions `held` and
    the log does not move meanwhile. Returns the result, and the log that they were decided on; None if one statement
    cannot do it. Raises StaleRead if something has moved, and OutOfStep if the log lacks what is `known`. Without a
    result, nothing has been written."""
    read_set = _reads(messages)
    loaded, log, numbered = await look(connection, read_set, memory)
    known.check(log)
    watch.lap("load")
    try:
        decided = _decided(loaded, Earlier(), messages, read_set.at, held=False)
    except Exception as error:  # perhaps the loaded rows are inconsistent, so no message can be blamed
        _log.info("a batch could not be done in one statement (%s)", type(error).__name__)
        return None
    watch.lap("decide")
    result = await decided.write_at_once(connection, held, log, numbered)
    watch.lap("write")
    return None if result is None else (result, log)


def _reads(messages: Sequence[Message | DeadLetter], at: datetime | None = None) -> ReadSet:
    read_set = ReadSet(at=at)
    for message in messages:
        if isinstance(message, Message):
            gather_reads(message.command, read_set)
    return read_set


def _decided(
    loaded: Loaded, earlier: Earlier, messages: Sequence[Message | DeadLetter], at: datetime | None, *, held: bool
) -> Batch:
    batch = Batch(loaded, earlier, at or datetime.now(UTC), held=held)
    for message in messages:
        batch.take(message)
    return batch
