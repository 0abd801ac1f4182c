"""Requests that wait for what the log tells of one subject."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from gateway.writing.happening import Happenings

SUBJECT = "payment-1"
OURS = UUID(int=1)
ANOTHER = UUID(int=2)
LONG_SECONDS = 60.0


def told(subject: str, command_id: UUID = ANOTHER) -> Any:
    """All that is looked at of an event."""
    return cast(Any, SimpleNamespace(subject=subject, command_id=command_id))


def answers(*said: bool) -> tuple[Callable[[], Awaitable[bool]], asyncio.Semaphore]:
    """Something that is asked whether it is over, and how often it was."""
    given, asked = iter(said), asyncio.Semaphore(0)

    async def is_over() -> bool:
        asked.release()
        return next(given)

    return is_over, asked


async def wait(
    happenings: Happenings, is_over: Callable[[], Awaitable[bool]], *, known: UUID | None = None, until: float
) -> None:
    """Expects the subject and waits for it."""
    with happenings.expect(SUBJECT) as awaited:
        await awaited.wait(is_over, known=known, until=until)


async def test_an_intermediate_event_does_not_end_the_wait() -> None:
    happenings = Happenings(max_requests=1)
    is_over, asked = answers(False, False, True)
    waiting = asyncio.create_task(wait(happenings, is_over, until=monotonic() + LONG_SECONDS))
    await asked.acquire()
    happenings.take([told("payment-2")])
    happenings.take([told(SUBJECT)])
    await asked.acquire()
    assert not waiting.done()
    happenings.take([told(SUBJECT)])
    await asyncio.wait_for(waiting, LONG_SECONDS)


async def test_an_event_that_arrives_during_the_check_is_not_missed() -> None:
    happenings = Happenings(max_requests=1)
    given = iter((False, True))

    async def is_over() -> bool:
        happenings.take([told(SUBJECT)])
        return next(given)

    async with asyncio.timeout(LONG_SECONDS):
        await wait(happenings, is_over, until=monotonic() + 2 * LONG_SECONDS)


async def test_events_of_the_known_command_do_not_end_the_wait() -> None:
    """Neither before the wait nor during it."""
    happenings = Happenings(max_requests=1)
    is_over, asked = answers(True)
    with happenings.expect(SUBJECT) as awaited:
        happenings.take([told(SUBJECT, OURS)])
        waiting = asyncio.create_task(awaited.wait(is_over, known=OURS, until=monotonic() + LONG_SECONDS))
        await asyncio.sleep(0)
        happenings.take([told(SUBJECT, OURS)])
        for _ in range(3):
            await asyncio.sleep(0)
        assert asked.locked()
        happenings.take([told(SUBJECT)])
        await asyncio.wait_for(waiting, LONG_SECONDS)
    assert asked._value == 1


async def test_what_was_told_before_the_wait_is_not_missed() -> None:
    """The provider may be faster than the command's outcome."""
    happenings = Happenings(max_requests=1)
    is_over, asked = answers(True)
    with happenings.expect(SUBJECT) as awaited:
        happenings.take([told(SUBJECT, OURS), told(SUBJECT)])
        async with asyncio.timeout(LONG_SECONDS):
            await awaited.wait(is_over, known=OURS, until=monotonic() + 2 * LONG_SECONDS)
    assert asked._value == 1


async def test_nobody_waits_longer_than_until() -> None:
    is_over, asked = answers(False)
    await wait(Happenings(max_requests=1), is_over, until=monotonic() + 0.01)
    assert asked._value == 1
    await wait(Happenings(max_requests=1), answers()[0], until=monotonic() - 1)
    await wait(Happenings(max_requests=1), answers()[0], known=OURS, until=monotonic() + 0.01)


async def test_waits_beyond_the_limit_end_at_once_and_their_places_are_freed() -> None:
    happenings = Happenings(max_requests=1)
    is_over, asked = answers(False, True)
    waiting = asyncio.create_task(wait(happenings, is_over, until=monotonic() + LONG_SECONDS))
    await asked.acquire()
    await wait(happenings, answers()[0], until=monotonic() + LONG_SECONDS)
    happenings.take([told(SUBJECT)])
    await waiting
    is_over, asked = answers(True)
    await wait(happenings, is_over, until=monotonic() + LONG_SECONDS)
    assert asked._value == 1


async def test_without_a_subject_there_is_no_wait() -> None:
    with Happenings(max_requests=1).expect(None) as awaited:
        await awaited.wait(answers()[0], known=OURS, until=monotonic() + LONG_SECONDS)


async def test_when_the_process_ends_nobody_waits() -> None:
    happenings = Happenings(max_requests=1)
    is_over, asked = answers(False)
    waiting = asyncio.create_task(wait(happenings, is_over, until=monotonic() + LONG_SECONDS))
    await asked.acquire()
    happenings.stop()
    await asyncio.wait_for(waiting, LONG_SECONDS)
    await wait(happenings, answers()[0], until=monotonic() + LONG_SECONDS)
