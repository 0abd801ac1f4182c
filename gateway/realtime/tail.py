"""The tail of the event log in this gateway process: every event, once, in order, whatever the feed loses.

The feed brings most events as soon as they are committed. When it has a gap, or has been silent for a while, the tail
reads the log itself. It passes new events to its watchers for as long as the process lives: the hub of all
subscriptions, and the caches of this process.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from domain.versions import UnknownVersion
from gateway.views import log
from runtime.branches import Branches
from runtime.engine import VIEW_FAILED
from runtime.mailboxes.fence import Confirmed
from runtime.metrics import FEED_GAPS, FEED_RESUMES
from runtime.records import CHUNK_MAX_EVENTS, EventRecord, decode_records
from runtime.redis_client import REDIS_UNAVAILABLE

# How many messages of the feed may wait while the gap before them is read; more are dropped, since the log has them.
_AHEAD_MAX_MESSAGES: Final = 1_000
_READ_MAX_EVENTS: Final = 1_000
# A message that arrives this long after its events is only a hint to read the log: its sender may have been suspended
# while the log was restored to a state before them.
_FRESH_SECONDS: Final = 5.0
# How often to check that this is still the same log, even while the feed is busy.
_LOOK_SECONDS: Final = 1.0

_MICROSECONDS: Final = 1_000_000

_log = logging.getLogger(__name__)


class Tail:
    """Follows the log for one process and hands every event to every watcher."""

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        silence_seconds: float,
        confirm: Callable[[Confirmed], Awaitable[None]] | None = None,
    ) -> None:
        """`confirm` tells Redis the committed seq (see `runtime.mailboxes.fence`) before anyone hears of events that
        were read from the log, because their writer may have died before it could. Events from the feed are already
        confirmed."""
        self._engine = engine
        self._confirm = confirm
        self._silence_seconds = silence_seconds
        self._seq = 0
        self._first_seq = 1
        self._branches = Branches()
        self._looked_at = -inf
        self._anew: list[Callable[[], None]] = []
        self._watchers: list[Callable[[list[EventRecord]], None]] = []
        self._interrupted = False
        self.watching = asyncio.Event()
        """Set once watchers get every event: from then on, they learn of any change to what they read."""
        self.level_at = -inf
        """When (monotonic seconds) watchers last had caught up with the log: after an event of the feed without a gap,
        or a read of the log."""
        self._ahead: deque[list[EventRecord]] = deque()
        self._news = asyncio.Event()

    def offer(self, message: str) -> None:
        """Takes a message of the feed."""
        if len(self._ahead) < _AHEAD_MAX_MESSAGES:
            try:
                records = decode_records(message)
            except UnknownVersion:  # the log has it too, and the tail reads it there
                self._interrupted = True
            else:
                if time.time() - records[0].occurred_at / _MICROSECONDS < _FRESH_SECONDS:
                    self._ahead.append(records)
                else:
                    self._interrupted = True
        else:
            self._interrupted = True
        self._news.set()

    @property
    def seq(self) -> int:
        """The seq of the last event handed on."""
        return self._seq

    @property
    def first_seq(self) -> int:
        """The seq of the first event that is not archived, as of a moment ago."""
        return self._first_seq

    @property
    def branches(self) -> Branches:
        """The log's identity; None before `watching`."""
        return self._branches

    async def check_place(self, after: int, identity: UUID | None) -> None:
        """Raises NotThisLog unless `after` is a place in this log (of the log `identity`, if given) from which a reader
        can continue. Other processes may be ahead of this one, or have noticed a replaced log earlier, so in doubt
        Postgres is asked. Raises what a view raises."""
        if identity is None and self._first_seq <= after + 1 <= self._seq + 1:
            return
        async with self._engine.connect() as connection:
            state = await log.state(connection)
        try:
            log.check_place(state, after, identity)
        except log.NotThisLog:
            FEED_RESUMES.labels("not_this_log").inc()
            raise

    def look_again(self) -> None:
        """The feed was interrupted: events may have been missed."""
        self._interrupted = True
        self._news.set()

    def watch(self, watcher: Callable[[list[EventRecord]], None]) -> None:
        """Calls `watcher` with all new events, in order, for as long as the tail runs, beginning when the log can first
        be read (see `watching`)."""
        self._watchers.append(watcher)

    def watch_resync(self, watcher: Callable[[], None]) -> None:
        """Calls `watcher` when the log turns out to have been replaced, or to end before the last event handed on."""
        self._anew.append(watcher)

    async def run(self) -> None:
        """Follows the log until cancelled."""
        self._news.set()
        while True:
            # Not `wait_for`: in Python 3.11 it loses a cancellation that arrives together with the news.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._silence_seconds):
                    await self._news.wait()
            silent = self._interrupted or not self._news.is_set()
            self._interrupted = False
            self._news.clear()
            began = time.monotonic()
            try:
                await self._advance(silent=silent)
                self.level_at = began
            except VIEW_FAILED as error:
                _log.warning("the log cannot be read (%s); trying again", type(error).__name__)
                await asyncio.sleep(self._silence_seconds)
            except log.NotThisLog:
                self.look_again()
            except UnknownVersion as error:
                _log.error("the log continues in a later release's format (%s); waiting to be replaced", error)
                await asyncio.sleep(self._silence_seconds)
            except Exception:
                _log.exception("the tail failed; continuing from the log")
                self._ahead.clear()

    async def _advance(self, *, silent: bool) -> None:
        if silent or time.monotonic() - self._looked_at > _LOOK_SECONDS:
            await self._look()
        gap = await self._deliver_ahead()
        if gap:
            FEED_GAPS.inc()
            await self._look()
        if gap or silent:
            await self._catch_up()
            await self._deliver_ahead()

    async def _look(self) -> None:
        """Checks which log it is. At the first check, if the log has been replaced, or if it has been archived beyond
        this place, the tail begins at its end, and whatever followed it must start over."""
        async with self._engine.connect() as connection:
            state = await log.state(connection)
        self._looked_at = time.monotonic()
        self._first_seq = state.first_seq
        if not self.watching.is_set() or state.branches.identity != self._branches.identity:
            await self._tell_redis(Confirmed(state.branches.identity, state.last_seq))
        if not self.watching.is_set():
            self._seq, self._branches = state.last_seq, state.branches
            self.watching.set()
        elif (
            not state.first_seq - 1 <= self._seq <= state.last_seq or state.branches.identity != self._branches.identity
        ):
            _log.error(
                "the log has been replaced, restored or archived: it now runs from seq %d to %d, as %s; the tail had "
                "reached %d of %s",
                state.first_seq,
                state.last_seq,
                state.branches.identity,
                self._seq,
                self._branches.identity,
            )
            self._seq, self._branches = state.last_seq, state.branches
            self._ahead.clear()
            for watcher in self._anew:
                try:
                    watcher()
                except Exception:  # the other watchers must still be told
                    _log.exception("a watcher failed to handle a replaced log")

    async def _deliver_ahead(self) -> bool:
        """Hands on the messages that follow without a gap; True if some remain after a gap."""
        while self._ahead:
            # Batches of different mailboxes may be published in a different order from their commits.
            messages = sorted(filter(self._is_of_this_log, self._ahead), key=lambda records: records[0].seq)
            self._ahead.clear()
            behind_a_gap = []
            for records in messages:
                if records[0].seq > self._seq + 1:
                    behind_a_gap.append(records)
                elif news := [record for record in records if record.seq > self._seq]:
                    await self._hand_on(news)
            arrived = bool(self._ahead)
            self._ahead.extend(behind_a_gap)
            if behind_a_gap and not arrived:
                return True
        return False

    def _is_of_this_log(self, records: list[EventRecord]) -> bool:
        """Whether a message of the feed belongs to the log that is followed. If not, one of the two is outdated; the
        next look finds out which."""
        identity = records[0].log
        if identity is None or identity == self._branches.identity:
            return True
        self.look_again()
        return False

    async def _catch_up(self) -> None:
        while True:
            async with self._engine.connect() as connection:
                records = await log.read(connection, self._seq, _READ_MAX_EVENTS)
                await log.check_read(connection, self._seq, self._branches.identity)
            if not records:
                return
            await self._tell_redis(Confirmed(self._branches.identity, records[-1].seq))
            for start in range(0, len(records), CHUNK_MAX_EVENTS):
                await self._hand_on(records[start : start + CHUNK_MAX_EVENTS])

    async def _tell_redis(self, read: Confirmed) -> None:
        """Confirms what was read. Waits only for a moment: while Redis is unavailable, nothing is applied anyway."""
        if self._confirm is None:
            return
        try:
            async with asyncio.timeout(self._silence_seconds):
                await self._confirm(read)
        except REDIS_UNAVAILABLE as error:  # a TimeoutError is an OSError
            _log.warning("Redis could not be told of seq %d (%s)", read.seq, type(error).__name__)

    async def _hand_on(self, records: list[EventRecord]) -> None:
        """Passes events to the watchers, then lets other tasks run, so that they reach sockets before more come in."""
        assert records[0].seq == self._seq + 1, f"expected seq {self._seq + 1}, got {records[0].seq}"
        self._seq = records[-1].seq
        for watcher in self._watchers:
            try:
                watcher(records)
            except Exception:  # the other watchers must not miss anything
                _log.exception("a watcher failed to handle the events from seq %d on", records[0].seq)
        await asyncio.sleep(0)
