"""Applying a run of entries: one transaction if all goes well, as few as their failures allow if not.

The transaction holds the position of every mailbox that it takes from: it is the actor's lock, its fence and its
bookmark. A mailbox whose position is locked, or is not what it was, is left out, because somebody else is at work. What
was applied lies before the position, whatever becomes of us.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from domain.model import holds_private
from runtime.database import LOST_CONNECTION
from runtime.envelope import DeadLetterCode
from runtime.feed import EVENTS_CHANNEL, Publisher
from runtime.mailboxes.fence import LOG_OF_TODAY, Confirmed, Fence, OutOfStep
from runtime.mailboxes.inbox import Entry
from runtime.metrics import (
    ACCEPT_TO_COMMIT_SECONDS,
    BATCH_COMMANDS,
    BATCH_RETRIES,
    BATCH_SECONDS,
    DEAD_LETTERS,
    FINISHED,
)
from runtime.records import chunks, encode
from workers import batch as batches
from workers.batch import DeadLetter, Message, Result, StaleRead
from workers.earlier import Earlier
from workers.ownership import ForeignWrite

_log = logging.getLogger(__name__)


class Run(NamedTuple):
    """Entries of some mailboxes, each with its own, in the order in which they are to be applied; and the positions
    after which they were read."""

    positions: dict[int, str]
    entries: Sequence[tuple[int, Entry]]


# Retry the whole batch: its messages are not at fault.
_NOT_THE_MESSAGES: Final[tuple[type[BaseException], ...]] = (OutOfStep, *LOST_CONNECTION)

# Postgres ends the session of a transaction that takes too long, and nobody can tell that from a lost connection.
_CUT_SHORT: Final = (*LOST_CONNECTION, asyncpg.QueryCanceledError)

_MESSAGE_AT_FAULT: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)

# A batch is decided on what others may change meanwhile, and again alone, so often before it waits for the sweep.
_ATTEMPTS_MAX: Final = 8


class CutShort(TimeoutError):
    """A transaction was not done in time, or lost its connection; perhaps it waited for a row that somebody holds."""


class Applier:
    """Applies entries for one worker process. It owns nothing of what it stands on."""

    def __init__(self, pool: asyncpg.Pool[Any], publisher: Publisher, fence: Fence) -> None:
        self._pool = pool
        self._fence = fence
        self._publisher = publisher

    async def positions(self, mailboxes: Iterable[int]) -> tuple[dict[int, str], UUID]:
        """Of each mailbox the id of the last entry applied, and the identity of the log that they were applied to."""
        asked = set(mailboxes)
        rows = await self._pool.fetch(_BOOKMARKS, asked)
        if len(rows) < len(asked):
            await self._pool.execute(
                "INSERT INTO mailboxes (mailbox) SELECT unnest($1::smallint[]) ON CONFLICT DO NOTHING", asked
            )
            rows = await self._pool.fetch(_BOOKMARKS, asked)
        return {row["mailbox"]: row["position"] for row in rows}, UUID(int=rows[0]["identity"].int)

    async def apply(self, run: Run) -> dict[int, str]:
        """Applies the entries of those mailboxes that are to be had: that nobody else is at work on. Returns their
        positions, which may be those of somebody who was faster. What a lost connection leaves undone is behind them.
        Raises OutOfStep if the log lacks what was committed to it.
        """
        messages = [batches.read(mailbox, entry) for mailbox, entry in run.entries]
        held = dict(run.positions)
        done: dict[int, str] = {}
        try:
            await self._apply(held, messages, done, look_up=False)
        except CutShort:
            if len(run.positions) == 1:
                raise
            await self._apply_one_by_one(run, messages, done)
        return done

    async def _apply_one_by_one(self, run: Run, messages: Sequence[Message | DeadLetter], done: dict[int, str]) -> None:
        """Each mailbox by itself: if one waits for a row that somebody holds, the others need not. It raises."""
        BATCH_RETRIES.labels("mailbox_by_mailbox").inc()
        failure: CutShort | None = None
        for mailbox, position in run.positions.items():
            own = [message for message in messages if message.mailbox == mailbox]
            try:
                await self._apply({mailbox: position}, own, done, look_up=False)
            except CutShort as error:
                failure = error
        if failure is not None:
            raise failure

    async def _apply(
        self, held: dict[int, str], messages: Sequence[Message | DeadLetter], done: dict[int, str], *, look_up: bool
    ) -> None:
        """One transaction; if something repeats, once more with what came before looked up; if one of the messages is
        to blame, each half by itself, down to the culprit, which becomes a dead letter. `held` are the positions to
        find, `done` those that were reached.

        Only a value that no column takes, a broken constraint or an exception of ours can be a message's fault. A full
        disk, a missing table, a cancelled statement are not: they are raised, and the mailboxes wait.
        """
        try:
            await self._apply_together(held, messages, done, look_up=look_up)
            return
        except _NOT_THE_MESSAGES:
            raise
        except asyncpg.UniqueViolationError as error:
            if not look_up:
                BATCH_RETRIES.labels("repeated").inc()
                await self._apply(held, messages, done, look_up=True)
                return
            culprit: Exception = error
        except asyncpg.PostgresError as error:
            if not isinstance(error, _MESSAGE_AT_FAULT):
                raise
            culprit = error
        except Exception as error:
            where = "".join(traceback.format_tb(error.__traceback__))
            _log.error("a batch of %d could not be worked out\n%s", len(messages), where)
            culprit = error
        reason = _reason(culprit, messages)
        _log.warning("a batch of %d was refused: %s", len(messages), reason)
        BATCH_RETRIES.labels("bisected").inc()
        if len(messages) == 1:
            message = messages[0]
            code: DeadLetterCode = "foreign_write" if isinstance(culprit, ForeignWrite) else "write_refused"
            dead_letter = DeadLetter(message.mailbox, message.entry, code, reason, message.envelope)
            try:
                await self._apply_together(held, [dead_letter], done, look_up=True)
            except asyncpg.UniqueViolationError:
                # A command of another mailbox has just used the same idempotency key; now it is found.
                await self._apply_together(held, [dead_letter], done, look_up=True)
            return
        first, second = messages[: len(messages) // 2], messages[len(messages) // 2 :]
        await self._apply(held, first, done, look_up=True)
        reached = {message.mailbox: message.entry.entry_id for message in first}
        # A mailbox that was not to be had for the first half has not come so far: its second half is left out as well.
        await self._apply({**held, **reached}, second, done, look_up=True)

    async def _apply_together(
        self, held: dict[int, str], messages: Sequence[Message | DeadLetter], done: dict[int, str], *, look_up: bool
    ) -> None:
        """Others may write stock at the same time. Where what was decided on does not hold any more, because stock has
        run short or come in, or a price has changed, the messages are decided again alone. Alone, but for rows that
        another batch has, who waits for this one: then they are waited for beside the others."""
        for attempt in range(1, _ATTEMPTS_MAX + 1):
            try:
                await self._transact(held, messages, done, look_up=look_up, alone=attempt % 2 == 0)
                return
            except StaleRead as error:
                BATCH_RETRIES.labels(error.reason).inc()
            except asyncpg.LockNotAvailableError:
                BATCH_RETRIES.labels("gave_way").inc()
        raise CutShort(f"tried {_ATTEMPTS_MAX} times, and others were faster each time")

    async def _transact(
        self,
        held: Mapping[int, str],
        messages: Sequence[Message | DeadLetter],
        done: dict[int, str],
        *,
        look_up: bool,
        alone: bool,
    ) -> None:
        started = time.monotonic()
        async with self._pool.acquire() as connection:
            try:
                async with connection.transaction():
                    rows = await connection.fetch(_HOLD, sorted({message.mailbox for message in messages}))
                    found: dict[int, str] = {row["mailbox"]: row["position"] for row in rows}
                    log = _log_of(rows)
                    if log is not None:
                        self._fence.check(log)
                    ours = [message for message in messages if found.get(message.mailbox) == held[message.mailbox]]
                    if ours:
                        asked = [message.envelope for message in ours if message.envelope is not None]
                        earlier = await Earlier.look_up(connection, asked) if look_up else Earlier()
                        result = await batches.apply(connection, ours, earlier, alone=alone)
                        found.update(result.positions)
            except asyncpg.LockNotAvailableError:
                raise  # it gave way
            except _CUT_SHORT as error:
                raise CutShort(str(error)) from error
        done.update(found)
        if ours and log is not None:
            self._fence.reach(log._replace(seq=max(log.seq, result.last_seq)))
            BATCH_SECONDS.observe(time.monotonic() - started)
            _count(ours, result)
            await self._publisher.publish(_feed_messages(result))


_BOOKMARKS: Final = """
    SELECT m.mailbox, m.position, b.identity FROM mailboxes m
    CROSS JOIN (SELECT identity FROM log_branches ORDER BY number DESC LIMIT 1) b WHERE m.mailbox = ANY($1::smallint[])
"""

# In one order for everybody; whoever is at work on one is not waited for.
_HOLD: Final = f"""
    SELECT mailbox, position, {LOG_OF_TODAY} FROM mailboxes WHERE mailbox = ANY($1::smallint[])
    ORDER BY mailbox FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - a part of ours


def _log_of(rows: Sequence[asyncpg.Record]) -> Confirmed | None:
    """How far which log has come, as those rows say that were to be had; None if there were none."""
    return Confirmed(UUID(int=rows[0]["identity"].int), rows[0]["last_seq"]) if rows else None


def _reason(error: Exception, messages: Sequence[Message | DeadLetter]) -> str:
    """What an error says, without the rows that Postgres shows in its DETAIL. Where something is private in what was
    to be written, only its kind and place: drivers and servers like to quote the value that they did not take."""
    kind = type(error).__name__
    quotes = not isinstance(error, asyncpg.IntegrityConstraintViolationError)
    if quotes and any(isinstance(message, Message) and holds_private(message.command) for message in messages):
        known = [getattr(error, name, None) for name in ("sqlstate", "constraint_name", "column_name")]
        return " ".join([kind, *(str(part) for part in known if part)])
    return f"{kind}: {error}".partition("\nDETAIL:")[0]


def _feed_messages(result: Result) -> list[tuple[str, str]]:
    """The feed's messages of a batch: outcomes first, somebody is waiting for them."""
    messages = [(channel, encode(outcomes)) for channel, outcomes in result.outcomes().items()]
    messages.extend((EVENTS_CHANNEL, encode(chunk)) for chunk in chunks(result.records()))
    return messages


def _count(messages: Sequence[Message | DeadLetter], result: Result) -> None:
    BATCH_COMMANDS.observe(len(messages))
    now = time.time()
    finished: dict[tuple[str, str], int] = {}
    for command in result.applied:
        kind = (command.type, command.status)
        finished[kind] = finished.get(kind, 0) + 1
    for (command_type, status), count in finished.items():
        FINISHED.labels(command_type, status).inc(count)
    ACCEPT_TO_COMMIT_SECONDS.observe_all(
        [max(0.0, now - command.envelope.accepted_at / 1e6) for command in result.applied]
    )
    for code in result.dead_letters:
        DEAD_LETTERS.labels(code).inc()
