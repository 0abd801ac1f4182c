"""Requests that wait for events about one subject, such as a payment whose provider has been asked.

The awaited events may arrive twice, late or not at all, so an event is only a wake-up: the state is read from Postgres
each time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Final
from uuid import UUID

from runtime.records import EventRecord


class Awaited:
    """One request and the subject that it waits for; created by `Happenings.expect`."""

    def __init__(self, *, in_vain: bool) -> None:
        self._in_vain = in_vain
        self._woken = asyncio.Event()
        self._told_by: set[UUID] = set()

    def tell(self, command_id: UUID) -> None:
        """Notes that an event of this command was about the subject, and wakes the request."""
        self._told_by.add(command_id)
        self._woken.set()

    def give_up(self) -> None:
        """Ends the wait."""
        self._in_vain = True
        self._woken.set()

    async def wait(self, is_over: Callable[[], Awaitable[bool]], *, known: UUID | None, until: float) -> None:
        """Returns when `is_over` returns True, or at `until` (monotonic). `is_over` is called whenever a command other
        than `known` has had an event about the subject since `expect`; and also at once, if `known` is None."""
        look = known is None
        while not self._in_vain and (seconds := until - monotonic()) > 0:
            self._woken.clear()  # before asking, so that no later event is missed
            told_by, self._told_by = self._told_by, set()
            if (look or told_by - {known}) and await is_over():
                return
            look = False
            with suppress(TimeoutError):  # not `wait_for`: in Python 3.11 it may lose a cancellation
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
        """Ends all waits, because the process ends; requests are answered with what is known."""
        self._stopped = True
        for waiting in self._awaited.values():
            for awaited in waiting:
                awaited.give_up()

    def take(self, records: Iterable[EventRecord]) -> None:
        """Wakes the requests that wait for the subjects of these events."""
        if self._awaited:
            for record in records:
                for awaited in self._awaited.get(record.subject, ()):
                    awaited.tell(record.command_id)

    @contextmanager
    def expect(self, subject: str | None) -> Iterator[Awaited]:
        """Notices events about the subject while the context lasts. Does not wait at all if there is no subject, if too
        many requests are waiting, or if the process ends."""
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
