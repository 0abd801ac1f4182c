"""Requests that wait until the log tells something of one subject, such as a payment that its provider is asked for.

What is awaited may be told twice, late or not at all, so being told only ends a pause: what has happened is read from
Postgres, anew each time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Final
from uuid import UUID

from runtime.records import EventRecord


class Awaited:
    """One request and the subject that it waits for; made by `Happenings.expect`."""

    def __init__(self, *, in_vain: bool) -> None:
        self._in_vain = in_vain
        self._woken = asyncio.Event()
        self._told_by: set[UUID] = set()

    def tell(self, command_id: UUID) -> None:
        """An event of this command was about the subject."""
        self._told_by.add(command_id)
        self._woken.set()

    def give_up(self) -> None:
        """From now on, nobody waits."""
        self._in_vain = True
        self._woken.set()

    async def wait(self, is_over: Callable[[], Awaitable[bool]], *, known: UUID | None, until: float) -> None:
        """Returns when `is_over` says so, or at `until` (monotonic). It is asked whenever another command than `known`
        has told something of the subject since it is expected; and also at once, if none is known."""
        look = known is None
        while not self._in_vain and (seconds := until - monotonic()) > 0:
            self._woken.clear()  # before asking: what happens from now on is told
            told_by, self._told_by = self._told_by, set()
            if (look or told_by - {known}) and await is_over():
                return
            look = False
            with suppress(TimeoutError):  # not `wait_for`: in Python 3.11 it may forget a cancellation
                async with asyncio.timeout(seconds):
                    await self._woken.wait()


class Happenings:
    """The subjects that requests of this gateway process wait for. A watcher of the tail."""

    def __init__(self, *, max_requests: int) -> None:
        self._max_requests: Final = max_requests
        self._awaited: dict[str, set[Awaited]] = {}
        self._requests = 0
        self._stopped = False

    def stop(self) -> None:
        """The process ends: nobody waits any longer, and each is answered with what is known."""
        self._stopped = True
        for waiting in self._awaited.values():
            for awaited in waiting:
                awaited.give_up()

    def take(self, records: Iterable[EventRecord]) -> None:
        """Wakes whoever waits for what these events are about."""
        if self._awaited:
            for record in records:
                for awaited in self._awaited.get(record.subject, ()):
                    awaited.tell(record.command_id)

    @contextmanager
    def expect(self, subject: str | None) -> Iterator[Awaited]:
        """From now on, and while the context lasts, what is told of the subject is noticed. Nobody waits if there is no
        subject, too many requests wait already, or the process ends."""
        if subject is None or self._stopped or self._requests >= self._max_requests:
            yield Awaited(in_vain=True)
            return
        awaited = Awaited(in_vain=False)
        self._requests += 1
        self._awaited.setdefault(subject, set()).add(awaited)
        try:
            yield awaited
        finally:
            self._requests -= 1
            waiting = self._awaited[subject]
            waiting.discard(awaited)
            if not waiting:
                del self._awaited[subject]
