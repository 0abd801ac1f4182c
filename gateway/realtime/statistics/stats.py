"""The topic `stats`: live figures, each second, for its watchers; nothing is counted while there are none. The window
comes from the log, what runs low or waits from Postgres, and the backlog from Redis, each at its own pace, so that if
one is unavailable the others continue.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from msgspec.structs import asdict, replace
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.realtime.statistics.figures import Figures, Minute
from gateway.realtime.statistics.past import PAST_SECONDS, STEP_SECONDS, History
from gateway.realtime.statistics.shelf import ShelfWatch
from gateway.realtime.statistics.waiting import WaitingWatch
from gateway.realtime.statistics.window import WINDOW_SECONDS, Window
from gateway.realtime.tail import Tail
from gateway.views import log
from gateway.views.sales import sales
from runtime.engine import VIEW_FAILED
from runtime.mailboxes.redis_keys import stream_key
from runtime.records import EventRecord
from runtime.redis_client import REDIS_UNAVAILABLE

_PAST_PAGE_EVENTS: Final = 2_000
_PAST_MAX_EVENTS: Final = 200_000
# How long the figures wait for the names of new SKUs before they are sent without them.
_NAMES_SECONDS: Final = 0.3
# A backlog read longer ago than this counts as unknown.
_BACKLOG_GOOD_SECONDS: Final = 3.0
# If a timer fires early, sleep at least this much longer.
_EARLY_SECONDS: Final = 0.001

_log = logging.getLogger(__name__)


class Watcher(Protocol):
    """Who receives the figures."""

    def tell_stats(self, name: str, stats: Figures) -> None: ...


async def next_second() -> None:
    """Waits until the wall clock shows the next second. Timers use the monotonic clock, and may fire early by this
    one."""
    now = int(time.time())
    while int(time.time()) == now:
        await asyncio.sleep(max(_EARLY_SECONDS, 1.0 - time.time() % 1.0))


class _Counting:
    """State kept while somebody watches."""

    def __init__(self, window: Window, history: History) -> None:
        self.window = window
        self.history = history


class Statistics:
    """The live figures of one gateway process."""

    def __init__(self, engine: AsyncEngine, redis: Redis, tail: Tail, *, mailbox_count: int) -> None:
        self._engine = engine
        self._redis = redis
        self._tail = tail
        self._mailbox_count = mailbox_count
        self._watchers: dict[tuple[Watcher, str], bool] = {}
        """Whether they have been sent figures before."""
        self._wanted = asyncio.Event()
        self._counting: _Counting | None = None
        self._meanwhile: list[EventRecord] = []
        self._shelf = ShelfWatch(engine)
        self._waiting = WaitingWatch(engine)
        self._backlog = 0
        self._backlog_at = -_BACKLOG_GOOD_SECONDS
        tail.watch(self._count)

    def watch(self, watcher: Watcher, name: str) -> None:
        """From now on, the watcher is sent the figures each second, as its subscription `name`."""
        self._watchers[watcher, name] = False
        self._wanted.set()

    def unwatch(self, watcher: Watcher, name: str) -> None:
        """Stops sending the figures to it."""
        self._watchers.pop((watcher, name), None)
        if not self._watchers:
            self._wanted.clear()
            self._counting = None
            self._meanwhile = []

    def resync(self) -> None:
        """The log has been replaced: forgets what was counted."""
        self._counting = None
        self._meanwhile = []

    async def run(self) -> None:
        """Sends the figures to watchers each second, until cancelled."""
        await asyncio.gather(
            self._each_second(self._tell),
            self._each_second(self._look_at_shelf),
            self._each_second(self._waiting.look_if_due),
            self._each_second(self._look_at_mailboxes),
        )

    async def _each_second(self, what: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._wanted.wait()
            try:
                with suppress(*VIEW_FAILED, *REDIS_UNAVAILABLE):
                    await what()
            except Exception:
                _log.exception("live figures: something could not be read or sent")
            await next_second()

    def _count(self, records: Sequence[EventRecord]) -> None:
        if self._counting is not None:
            for record in records:
                self._counting.window.add(record)
        elif self._watchers and len(self._meanwhile) < _PAST_MAX_EVENTS:
            self._meanwhile.extend(records)

    async def _tell(self) -> None:
        if self._counting is None:
            await self._look_back()
        if self._counting is None:
            return
        now = int(time.time())
        window, history = self._counting.window, self._counting.history
        minute = window.summary(now)
        if not self._shelf.knows(_skus(minute)):
            with suppress(TimeoutError, *VIEW_FAILED):
                async with asyncio.timeout(_NAMES_SECONDS):
                    await self._shelf.look(_skus(minute))
        history.take(now, minute)
        figures = Figures(
            at=now,
            seq=self._tail.seq,
            window_seconds=WINDOW_SECONDS,
            shelf=self._shelf.low(window.pieces),
            backlog=self._backlog if time.monotonic() - self._backlog_at < _BACKLOG_GOOD_SECONDS else None,
            waiting=self._waiting.known,
            **asdict(self._shelf.named(minute)),
        )
        for (watcher, name), told_before in list(self._watchers.items()):
            self._watchers[watcher, name] = True
            watcher.tell_stats(name, figures if told_before else replace(figures, past=history.told()))

    async def _look_back(self) -> None:
        """Fills the window with the last minute of the log, and the history with the orders before."""
        self._meanwhile = []
        seq = self._tail.seq
        now = int(time.time())
        window = Window()
        after = await self._first_of_the_window()
        while after < seq:
            async with self._engine.connect() as connection:
                records = await log.read(connection, after, _PAST_PAGE_EVENTS)
            for record in records:
                if record.seq <= seq:
                    window.add(record)
            after = records[-1].seq if records else seq
        async with self._engine.connect() as connection:
            sold, since = await sales(
                connection, now - now % STEP_SECONDS - PAST_SECONDS - WINDOW_SECONDS, STEP_SECONDS
            )
        for record in self._meanwhile:
            window.add(record)
        self._meanwhile = []
        self._counting = _Counting(window, History(sold, since, now)) if self._watchers else None

    async def _first_of_the_window(self) -> int:
        """A seq before those of the last minute; of a very full minute, only the end is read."""
        since = datetime.now(UTC) - timedelta(seconds=WINDOW_SECONDS)
        async with self._engine.connect() as connection:
            first = await log.first_since(connection, since)
        return max(first - 1 if first is not None else self._tail.seq, self._tail.seq - _PAST_MAX_EVENTS)

    async def _look_at_shelf(self) -> None:
        """Keeps up to date what runs low, and the availability of the SKUs in the figures."""
        if self._counting is not None:
            await self._shelf.look(_skus(self._counting.window.summary(int(time.time()))))

    async def _look_at_mailboxes(self) -> None:
        """Keeps up to date how many commands wait in all mailboxes."""
        pipeline = self._redis.pipeline(transaction=False)
        for mailbox in range(self._mailbox_count):
            pipeline.xlen(stream_key(mailbox))
        self._backlog = sum(await pipeline.execute())
        self._backlog_at = time.monotonic()


def _skus(minute: Minute) -> set[str]:
    """The SKUs in the figures."""
    return {row.sku for row in minute.top_skus} | {row.sku for row in minute.missed_skus}
