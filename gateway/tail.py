"""The tail of the event log in this gateway process: every event, once, in order, whatever the feed loses.

The feed brings most events the moment they are committed. When it shows a gap, or has been silent for a while, the
tail reads the log itself. Sockets follow the tail through queues of their own; one that falls behind loses its place.
"""

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.views import log
from runtime.database import VIEW_FAILED
from runtime.metrics import FEED_GAPS
from runtime.records import EventRecord, decode_records

# Messages of the feed that wait for a gap before them to be read; more are dropped, the log has them all.
_AHEAD_MAX_MESSAGES: Final = 1_000
_READ_MAX_EVENTS: Final = 1_000

_log = logging.getLogger(__name__)


class Follower:
    """One subscriber's queue. `lagging` is set when it was too slow and events were dropped for it."""

    def __init__(self, after: int, *, queue_max_events: int) -> None:
        self.after = after
        self.lagging = False
        self._queue: deque[EventRecord] = deque()
        self._queue_max_events = queue_max_events
        self._news = asyncio.Event()

    def push(self, records: list[EventRecord]) -> None:
        """Takes what the tail has just delivered. Once something was dropped, nothing that came later is taken."""
        if self.lagging or len(self._queue) + len(records) > self._queue_max_events:
            self.lagging = True
        else:
            self._queue.extend(records)
        self._news.set()

    async def take(self) -> list[EventRecord]:
        """Everything that is there, in order; waits until something is. Empty when lagging and all is taken."""
        while not self._queue and not self.lagging:
            self._news.clear()
            await self._news.wait()
        taken = list(self._queue)
        self._queue.clear()
        return taken


class Tail:
    """Follows the log for one process and hands every event to every follower."""

    def __init__(self, engine: AsyncEngine, *, silence_seconds: float) -> None:
        self._engine = engine
        self._silence_seconds = silence_seconds
        self._seq = 0
        self._ahead: deque[list[EventRecord]] = deque()
        self._news = asyncio.Event()
        self._followers: set[Follower] = set()

    def offer(self, message: str) -> None:
        """Takes a message of the feed."""
        if not self._followers:
            return  # nobody listens: the log will tell whoever comes
        if len(self._ahead) < _AHEAD_MAX_MESSAGES:
            self._ahead.append(decode_records(message))
        self._news.set()

    async def follow(self, *, queue_max_events: int) -> Follower:
        """A new follower of everything behind `follower.after`, which is about now. Raises what a view raises while
        the log cannot be read."""
        if not self._followers:
            last_seq = await self._last_seq()
            if not self._followers:  # nobody else came meanwhile, whom this would make miss something
                self._seq = max(self._seq, last_seq)
        follower = Follower(self._seq, queue_max_events=queue_max_events)
        self._followers.add(follower)
        return follower

    def unfollow(self, follower: Follower) -> None:
        """Ends a follower."""
        self._followers.discard(follower)

    async def run(self) -> None:
        """Follows the log until cancelled."""
        while True:
            # Not `wait_for`: in Python 3.11 it forgets a cancellation that comes together with the news.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._silence_seconds):
                    await self._news.wait()
            silent = not self._news.is_set()
            self._news.clear()
            try:
                await self._advance(silent=silent)
            except VIEW_FAILED as error:
                _log.warning("the log cannot be read (%s); trying again", type(error).__name__)
                await asyncio.sleep(self._silence_seconds)
            except Exception:
                _log.exception("the tail stumbled; it goes on from the log")
                self._ahead.clear()

    async def _advance(self, *, silent: bool) -> None:
        if not self._followers:
            self._ahead.clear()
            return
        gap = self._deliver_ahead()
        if gap:
            FEED_GAPS.inc()
        if gap or silent:
            await self._catch_up()
            self._deliver_ahead()

    def _deliver_ahead(self) -> bool:
        """Hands on what follows without a gap; True if something lies behind one."""
        # Batches of different mailboxes may be published in another order than they were committed in.
        for records in sorted(self._ahead, key=lambda records: records[0].seq):
            if records[0].seq > self._seq + 1:
                continue
            self._hand_on([record for record in records if record.seq > self._seq])
        self._ahead = deque(records for records in self._ahead if records[-1].seq > self._seq)
        return bool(self._ahead)

    async def _catch_up(self) -> None:
        while True:
            async with self._engine.connect() as connection:
                records = await log.read(connection, self._seq, _READ_MAX_EVENTS)
            if not records:
                return
            # While they were read, the last follower may have gone, and one have come who begins further on.
            self._hand_on([record for record in records if record.seq > self._seq])

    def _hand_on(self, records: list[EventRecord]) -> None:
        if not records:
            return
        assert records[0].seq == self._seq + 1, f"expected seq {self._seq + 1}, got {records[0].seq}"
        self._seq = records[-1].seq
        for follower in self._followers:
            follower.push(records)

    async def _last_seq(self) -> int:
        async with self._engine.connect() as connection:
            return await log.last_seq(connection)
