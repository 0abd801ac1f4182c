"""Requests that wait until the log tells something of one subject, such as a payment that its provider is asked for.

What is awaited may be told twice, late or not at all, so being told only ends a pause: what has happened is read from
Postgres, anew each time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from time import monotonic
from typing import Final

from runtime.records import EventRecord


class Happenings:
    """The subjects that requests of this gateway process wait for. A watcher of the tail."""

    def __init__(self, *, max_requests: int) -> None:
        self._max_requests: Final = max_requests
        self._awaited: dict[str, set[asyncio.Event]] = {}
        self._requests = 0
        self._stopped = False

    def stop(self) -> None:
        """The process ends: nobody waits any longer, and each is answered with what is known."""
        self._stopped = True
        for waiting in self._awaited.values():
            for told in waiting:
                told.set()

    def take(self, records: Iterable[EventRecord]) -> None:
        """Wakes whoever waits for what these events are about."""
        if self._awaited:
            for record in records:
                for told in self._awaited.get(record.subject, ()):
                    told.set()

    async def wait(self, subject: str, is_over: Callable[[], Awaitable[bool]], *, until: float) -> None:
        """Returns when `is_over` says so, which is asked at once and after each event of the subject; or at `until`
        (monotonic). Nobody waits if too many requests do already, or the process ends."""
        if self._requests >= self._max_requests:
            return
        told = asyncio.Event()
        self._requests += 1
        self._awaited.setdefault(subject, set()).add(told)
        try:
            while not self._stopped and (seconds := until - monotonic()) > 0:
                told.clear()  # before asking: what happens from now on is told
                if await is_over():
                    return
                with suppress(TimeoutError):  # not `wait_for`: in Python 3.11 it may forget a cancellation
                    async with asyncio.timeout(seconds):
                        await told.wait()
        finally:
            self._requests -= 1
            waiting = self._awaited[subject]
            waiting.discard(told)
            if not waiting:
                del self._awaited[subject]
