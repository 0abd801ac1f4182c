"""Applying a run of entries: one transaction if all goes well, as few as their troubles allow if not.

The transaction holds the mailbox's position: it is the actor's lock, its fence and its bookmark. Whoever finds it
locked goes away, because somebody is at work. What was applied lies before the position, whatever becomes of us.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg

from domain.model import holds_private
from runtime.database import LOST_CONNECTION
from runtime.feed import EVENTS_CHANNEL, Publisher
from runtime.mailboxes.fence import LOG_OF_TODAY, Confirmed, Fence, OutOfStep
from runtime.mailboxes.inbox import Bookmark, Entry
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
from workers.batch import DeadLetter, Letter, PricesMoved, Result, StockRanShort
from workers.earlier import Earlier
from workers.ownership import ForeignWrite
from workers.rows import Connection

_log = logging.getLogger(__name__)

# So many batches are decided alone after one that found too little stock; then it is tried side by side again.
CAUTIOUS_BATCHES: Final = 32


class MailboxTaken(Exception):
    """Somebody else holds the mailbox's position: it is being drained."""


class PositionMoved(Exception):
    """Somebody else has applied what was read here; read again."""


# What says nothing about the letters: try again, whole.
_NOT_THE_LETTERS: Final[tuple[type[BaseException], ...]] = (MailboxTaken, PositionMoved, OutOfStep, *LOST_CONNECTION)

_HOLD: Final = f"SELECT position, {LOG_OF_TODAY} FROM mailboxes WHERE mailbox = $1 FOR UPDATE SKIP LOCKED"  # noqa: S608

_A_LETTERS_FAULT: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)


class Applier:
    """Applies entries for one worker process. It owns nothing of what it stands on."""

    def __init__(self, pool: asyncpg.Pool[Any], publisher: Publisher, fence: Fence) -> None:
        self._pool = pool
        self._fence = fence
        self._publisher = publisher
        self._cautious_batches = 0

    async def bookmark(self, mailbox: int) -> Bookmark:
        """The id of the last entry applied, and the log that it was applied to."""
        row = await self._pool.fetchrow(
            """
            SELECT m.position, b.identity FROM mailboxes m
            CROSS JOIN (SELECT identity FROM log_branches ORDER BY number DESC LIMIT 1) b WHERE m.mailbox = $1
            """,
            mailbox,
        )
        if row is None:
            await self._pool.execute("INSERT INTO mailboxes (mailbox) VALUES ($1) ON CONFLICT DO NOTHING", mailbox)
            return await self.bookmark(mailbox)
        return Bookmark(row["position"], row["identity"])

    async def apply(self, mailbox: int, position: str, entries: Sequence[Entry]) -> None:
        """Applies all the entries, which were read behind `position`. Raises MailboxTaken, PositionMoved or OutOfStep;
        what a lost connection leaves undone is not behind the position."""
        letters = [batches.read(entry) for entry in entries]
        await self._apply(mailbox, position, letters, look_up=False)

    async def _apply(
        self, mailbox: int, position: str, letters: Sequence[Letter | DeadLetter], *, look_up: bool
    ) -> None:
        """One transaction; if something repeats, once more with what came before looked up; if one of the letters is
        to blame, each half by itself, down to the culprit, which becomes a dead letter.

        Only a value that no column takes, a broken constraint or an exception of ours can be a letter's fault. A full
        disk, a missing table, a cancelled statement are not: they are raised, and the mailbox waits.
        """
        try:
            await self._apply_together(mailbox, position, letters, look_up=look_up)
            return
        except _NOT_THE_LETTERS:
            raise
        except asyncpg.UniqueViolationError as error:
            if not look_up:
                BATCH_RETRIES.labels("repeated").inc()
                await self._apply(mailbox, position, letters, look_up=True)
                return
            culprit: Exception = error
        except asyncpg.PostgresError as error:
            if not isinstance(error, _A_LETTERS_FAULT):
                raise
            culprit = error
        except Exception as error:
            where = "".join(traceback.format_tb(error.__traceback__))
            _log.error("mailbox %d: a batch of %d could not be worked out\n%s", mailbox, len(letters), where)
            culprit = error
        reason = _reason(culprit, letters)
        _log.warning("mailbox %d: a batch of %d was refused: %s", mailbox, len(letters), reason)
        BATCH_RETRIES.labels("bisected").inc()
        if len(letters) == 1:
            letter = letters[0]
            code = "foreign_write" if isinstance(culprit, ForeignWrite) else "write_refused"
            buried = DeadLetter(letter.entry, code, reason, letter.envelope)
            await self._apply_together(mailbox, position, [buried], look_up=True)
            return
        middle = len(letters) // 2
        await self._apply(mailbox, position, letters[:middle], look_up=True)
        await self._apply(mailbox, letters[middle - 1].entry.entry_id, letters[middle:], look_up=True)

    async def _apply_together(
        self, mailbox: int, position: str, letters: Sequence[Letter | DeadLetter], *, look_up: bool
    ) -> None:
        """While there is enough of everything, others may write stock at the same time; when it has run short, the
        letters are decided again alone, and so are the next batches: they will hardly fare better. Alone, but for rows
        that another batch has, who waits for this one: then they are waited for beside the others."""
        if self._cautious_batches > 0:
            self._cautious_batches -= 1
            try:
                await self._transact(mailbox, position, letters, look_up=look_up, alone=True)
                return
            except asyncpg.LockNotAvailableError:
                BATCH_RETRIES.labels("gave_way").inc()
        try:
            await self._transact(mailbox, position, letters, look_up=look_up, alone=False)
            return
        except StockRanShort:
            BATCH_RETRIES.labels("stock_ran_short").inc()
            self._cautious_batches = CAUTIOUS_BATCHES - 1
        except PricesMoved:
            BATCH_RETRIES.labels("prices_moved").inc()
        await self._transact(mailbox, position, letters, look_up=look_up, alone=True)

    async def _transact(
        self,
        mailbox: int,
        position: str,
        letters: Sequence[Letter | DeadLetter],
        *,
        look_up: bool,
        alone: bool,
    ) -> None:
        started = time.monotonic()
        async with self._pool.acquire() as connection, connection.transaction():
            log = await _hold(connection, mailbox, position)
            self._fence.check(log)
            if look_up:
                earlier = await Earlier.look_up(connection, [x.envelope for x in letters if x.envelope is not None])
            else:
                earlier = Earlier()
            result = await batches.apply(connection, mailbox, letters, earlier, alone=alone)
            await connection.execute(
                "UPDATE mailboxes SET position = $2, entries = entries + $3 WHERE mailbox = $1",
                mailbox,
                letters[-1].entry.entry_id,
                len(letters),
            )
        self._fence.reach(log._replace(seq=max(log.seq, result.last_seq)))
        BATCH_SECONDS.observe(time.monotonic() - started)
        _count(letters, result)
        await self._publisher.publish(_messages(result))


async def _hold(connection: Connection, mailbox: int, position: str) -> Confirmed:
    """Locks the mailbox's position until the transaction ends; returns how far which log has come. Raises if the
    position is not here to be had."""
    held = await connection.fetchrow(_HOLD, mailbox)
    if held is None:
        raise MailboxTaken
    if held["position"] != position:
        raise PositionMoved
    return Confirmed(UUID(int=held["identity"].int), held["last_seq"])


def _reason(error: Exception, letters: Sequence[Letter | DeadLetter]) -> str:
    """What an error says, without the rows that Postgres shows in its DETAIL. Where something is private in what was
    to be written, only its kind and place: drivers and servers like to quote the value that they did not take."""
    kind = type(error).__name__
    quotes = not isinstance(error, asyncpg.IntegrityConstraintViolationError)
    if quotes and any(isinstance(letter, Letter) and holds_private(letter.command) for letter in letters):
        known = [getattr(error, name, None) for name in ("sqlstate", "constraint_name", "column_name")]
        return " ".join([kind, *(str(part) for part in known if part)])
    return f"{kind}: {error}".partition("\nDETAIL:")[0]


def _messages(result: Result) -> list[tuple[str, str]]:
    """The feed's messages of a batch: outcomes first, somebody is waiting for them."""
    messages = [(channel, encode(outcomes)) for channel, outcomes in result.outcomes().items()]
    messages.extend((EVENTS_CHANNEL, encode(chunk)) for chunk in chunks(result.records()))
    return messages


def _count(letters: Sequence[Letter | DeadLetter], result: Result) -> None:
    BATCH_COMMANDS.observe(len(letters))
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
    for code in result.buried:
        DEAD_LETTERS.labels(code).inc()
