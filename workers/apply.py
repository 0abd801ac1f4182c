"""Applies a run of entries: in one transaction if all goes well, otherwise in as few as the failures allow. A small run
is first tried in one statement (see `workers/at_once.py`).

The transaction locks the position of every mailbox that it takes from: the position is the actor's lock, its fence and
its bookmark. A mailbox is skipped if its position is locked or has moved, because another worker is at work on it. The
position moves in the same transaction, so it is right even if this process dies.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from domain.model import holds_private
from runtime import tracing
from runtime.database import LOST_CONNECTION
from runtime.envelope import DeadLetterCode
from runtime.feed import EVENTS_CHANNEL, Publisher
from runtime.mailboxes.fence import LOG_OF_TODAY, Confirmed, Fence, OutOfStep
from runtime.metrics import (
    ACCEPT_TO_COMMIT_SECONDS,
    BATCH_COMMANDS,
    BATCH_RETRIES,
    BATCH_SECONDS,
    DEAD_LETTERS,
    FINISHED,
    exemplars,
)
from runtime.records import chunks, encode, told
from runtime.redis_client import REDIS_UNAVAILABLE
from runtime.terms import TermsMemory
from workers import batch as batches
from workers.earlier import Earlier
from workers.messages import DeadLetter, Message, about, read
from workers.ownership import ForeignWrite
from workers.result import Result
from workers.runs import Part, Run
from workers.stale import StaleRead
from workers.stopwatch import Stopwatch

_log = logging.getLogger(__name__)


class Applied(NamedTuple):
    """The outcome of a run: the current positions of the mailboxes that could be locked (another worker may have moved
    them), and the mailboxes whose transaction was cut short."""

    positions: dict[int, str]
    waiting: set[int]


# Retry the whole batch: its messages are not at fault.
_NOT_THE_MESSAGES: Final[tuple[type[BaseException], ...]] = (OutOfStep, *LOST_CONNECTION, *REDIS_UNAVAILABLE)

# Postgres ends the session of a transaction that takes too long, which looks just like a lost connection.
_CUT_SHORT: Final = (*LOST_CONNECTION, asyncpg.QueryCanceledError)

# Another transaction holds what the statement needs: retry, as the messages are not at fault.
_GAVE_WAY: Final = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)

_MESSAGE_AT_FAULT: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)

# Attempts alternate between an optimistic one and one that holds the event counter; then the batch waits for the sweep.
_ATTEMPTS_MAX: Final = 8


class CutShort(TimeoutError):
    """A transaction timed out or lost its connection, perhaps while it waited for a row that another session holds."""


class Applier:
    """Applies entries for one worker process. The pool, the publisher and the fence belong to the caller."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        publisher: Publisher,
        fence: Fence,
        *,
        tax_provider: str | None = None,
        delivery_provider: str | None = None,
    ) -> None:
        self._pool = pool
        self._fence = fence
        self._publisher = publisher
        self._memory = TermsMemory(tax_provider=tax_provider, delivery_provider=delivery_provider)

    async def positions(self, mailboxes: Iterable[int]) -> tuple[dict[int, str], UUID]:
        """The id of each mailbox's last applied entry, and the identity of the log that they were applied to."""
        asked = set(mailboxes)
        rows = await self._pool.fetch(_BOOKMARKS, asked)
        if len(rows) < len(asked):
            await self._pool.execute(
                "INSERT INTO mailboxes (mailbox) SELECT unnest($1::smallint[]) ON CONFLICT DO NOTHING", asked
            )
            rows = await self._pool.fetch(_BOOKMARKS, asked)
        return {row["mailbox"]: row["position"] for row in rows}, UUID(int=rows[0]["identity"].int)

    async def apply(self, run: Run) -> Applied:
        """Applies the entries of all mailboxes that no other worker is at work on. This takes one transaction, unless
        something goes wrong: then what failed is applied in smaller parts, one after another.

        A mailbox whose transaction is cut short, perhaps because a foreign session holds a row that it needs, is left
        as it is, so that the others need not wait for it. Raises CutShort if every mailbox was cut short, OutOfStep if
        the log lacks what was committed to it.
        """
        done: dict[int, str] = {}
        waiting: set[int] = set()
        parts = Part(run.positions, [read(mailbox, entry) for mailbox, entry in run.entries]).by_terms()
        while parts:
            part = parts.pop(0)
            try:
                done.update(await self._settle(part))
            except CutShort:
                smaller = part.by_mailbox()
                if len(smaller) == 1:
                    waiting.update(part.held)
                    if not done and not parts:
                        raise
                    continue
                BATCH_RETRIES.labels("mailbox_by_mailbox").inc()
                parts[:0] = smaller
            except Exception as error:
                parts[:0] = self._after(error, part)
        return Applied(done, waiting - done.keys())

    @staticmethod
    def _after(error: Exception, part: Part) -> list[Part]:
        """What to try after this error. After a unique violation: the same part, with earlier commands looked up. If a
        message is to blame: each half by itself, down to the culprit, which becomes a dead letter.

        Only a value that does not fit its column, a violated constraint or an exception in our own code can be a
        message's fault. A full disk, a missing table or a cancelled statement is raised, and the mailboxes wait.
        """
        if isinstance(error, _NOT_THE_MESSAGES):
            raise error
        if isinstance(error, asyncpg.UniqueViolationError) and not part.look_up:
            BATCH_RETRIES.labels("repeated").inc()
            return [part._replace(look_up=True)]
        if part.last_resort or (isinstance(error, asyncpg.PostgresError) and not isinstance(error, _MESSAGE_AT_FAULT)):
            raise error
        reason = _reason(error, part.messages)
        with about(part.messages[0]) if len(part.messages) == 1 else nullcontext():
            if not isinstance(error, asyncpg.PostgresError):
                where = "".join(traceback.format_tb(error.__traceback__))
                _log.error("a batch of %d could not be decided\n%s", len(part.messages), where)
            _log.warning("a batch of %d was refused: %s", len(part.messages), reason)
        BATCH_RETRIES.labels("bisected").inc()
        if len(part.messages) > 1:
            return part.halves()
        (message,) = part.messages
        code: DeadLetterCode = "foreign_write" if isinstance(error, ForeignWrite) else "write_refused"
        dead_letter = DeadLetter(message.mailbox, message.entry, code, reason, message.envelope)
        return [Part(part.held, [dead_letter], last_resort=True)]

    async def _settle(self, part: Part) -> dict[int, str]:
        """Applies a part in one transaction; returns the current positions of the mailboxes that it could lock. Other
        batches may move balances at the same time. If the optimistic check fails (something has run short or come in,
        or a guard has moved), the part is decided again while it holds the event counter, so that nobody else can move
        anything. If it then needs rows of a batch that waits for the counter, it gives way, and the next attempt is
        optimistic again."""
        with tracing.span(
            "apply batch", "consumer", links=_causes(part), messaging__batch__message_count=len(part.messages)
        ):
            if part.is_small and (done := await self._at_once(part)) is not None:
                return done
            for attempt in range(1, _ATTEMPTS_MAX + 1):
                try:
                    return await self._transact(part, alone=attempt % 2 == 0)
                except StaleRead as error:
                    BATCH_RETRIES.labels(error.reason).inc()
                except _GAVE_WAY:
                    BATCH_RETRIES.labels("gave_way").inc()
            raise CutShort(f"tried {_ATTEMPTS_MAX} times, and others were faster each time")

    async def _at_once(self, part: Part) -> dict[int, str] | None:
        """Applies a part in one statement. None if that did not work; the messages need not be at fault."""
        watch = Stopwatch()
        async with self._pool.acquire() as connection:
            known = await self._fence.known(connection.opened_at)
            try:
                applied = await batches.apply_at_once(connection, part.messages, part.held, known, watch, self._memory)
            except StaleRead as error:
                BATCH_RETRIES.labels(error.reason).inc()
                return None
            except asyncpg.UniqueViolationError:
                raise  # earlier commands must be looked up
            except _GAVE_WAY:
                BATCH_RETRIES.labels("gave_way").inc()
                return None
            except _MESSAGE_AT_FAULT:
                return None  # perhaps a row has just been changed by hand
            except _CUT_SHORT as error:
                raise CutShort(str(error)) from error
        if applied is None:
            return None
        await self._tell(part.messages, *applied, watch)
        return applied[0].positions

    async def _transact(self, part: Part, *, alone: bool) -> dict[int, str]:
        watch = Stopwatch()
        async with self._pool.acquire() as connection:
            known = await self._fence.known(connection.opened_at)
            try:
                async with connection.transaction():
                    rows = await connection.fetch(_HOLD, sorted({message.mailbox for message in part.messages}))
                    if not rows:
                        return {}
                    log = _log_of(rows)
                    known.check(log)
                    found: dict[int, str] = {row["mailbox"]: row["position"] for row in rows}
                    ours = [each for each in part.messages if found.get(each.mailbox) == part.held[each.mailbox]]
                    if not ours:
                        return found
                    asked = [message.envelope for message in ours if message.envelope is not None]
                    earlier = await Earlier.look_up(connection, asked) if part.look_up else Earlier()
                    result = await batches.apply(
                        connection, ours, earlier, alone=alone, watch=watch, memory=self._memory
                    )
            except _GAVE_WAY:
                raise  # not cut short: it can be retried at once
            except _CUT_SHORT as error:
                raise CutShort(str(error)) from error
        watch.lap("commit")
        await self._tell(ours, result, log, watch)
        return found | result.positions

    async def _tell(
        self, messages: Sequence[Message | DeadLetter], result: Result, log: Confirmed, watch: Stopwatch
    ) -> None:
        """Tells the fence, the waiting clients and the metrics of a committed batch."""
        self._fence.reach(log._replace(seq=max(log.seq, result.last_seq)))
        BATCH_SECONDS.observe(watch.total)
        await self._publisher.publish(_feed_messages(result, log.identity), first=self._fence.confirm)
        watch.lap("publish")
        _count(messages, result)


_BOOKMARKS: Final = """
    SELECT m.mailbox, m.position, b.identity FROM mailboxes m
    CROSS JOIN (SELECT identity FROM log_branches ORDER BY number DESC LIMIT 1) b WHERE m.mailbox = ANY($1::smallint[])
"""

# All workers lock in the same order, and skip the mailboxes that another worker holds.
_HOLD: Final = f"""
    SELECT mailbox, position, {LOG_OF_TODAY} FROM mailboxes WHERE mailbox = ANY($1::smallint[])
    ORDER BY mailbox FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - a part of ours


def _log_of(rows: Sequence[asyncpg.Record]) -> Confirmed:
    """The log's identity and last seq, from the rows of `_HOLD`."""
    return Confirmed(UUID(int=rows[0]["identity"].int), rows[0]["last_seq"])


def _causes(part: Part) -> Iterable[str]:
    """The traces that the part's commands belong to."""
    return (m.envelope.traceparent for m in part.messages if m.envelope is not None and m.envelope.traceparent)


def _reason(error: Exception, messages: Sequence[Message | DeadLetter]) -> str:
    """The error's text without its DETAIL, which quotes rows. If a message holds private data, only the error's kind
    and place: drivers and servers like to quote the value that they refused."""
    kind = type(error).__name__
    quotes = not isinstance(error, asyncpg.IntegrityConstraintViolationError)
    if quotes and any(isinstance(message, Message) and holds_private(message.command) for message in messages):
        known = [getattr(error, name, None) for name in ("sqlstate", "constraint_name", "column_name")]
        return " ".join([kind, *(str(part) for part in known if part)])
    return f"{kind}: {error}".partition("\nDETAIL:")[0]


def _feed_messages(result: Result, identity: UUID) -> list[tuple[str, str]]:
    """A batch's messages for the feed: outcomes first, because clients are waiting for them."""
    messages = [(channel, encode(outcomes)) for channel, outcomes in result.outcomes().items()]
    messages.extend((EVENTS_CHANNEL, told(chunk, identity)) for chunk in chunks(result.records()))
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
    ages = [max(0.0, now - command.envelope.accepted_at / 1e6) for command in result.applied]
    ACCEPT_TO_COMMIT_SECONDS.observe_all(ages)
    if ages:
        slowest = max(ages)
        command = result.applied[ages.index(slowest)]
        exemplars.note(ACCEPT_TO_COMMIT_SECONDS, slowest, command_id=str(command.envelope.command_id))
    for code in result.dead_letters:
        DEAD_LETTERS.labels(code).inc()
    result.tally.count()
