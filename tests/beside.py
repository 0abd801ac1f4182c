"""Work that runs alongside a test, as workers run alongside a shop. If it fails, everything that waits for it fails too
and says why; otherwise the test would hang.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from tests import pace

_PAUSE_SECONDS: Final = 0.01
_going_on: set[asyncio.Task[None]] = set()


@asynccontextmanager
async def beside(step: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Repeats `step` while the block runs, and lets the last one finish. Raises what `step` raised."""
    enough = asyncio.Event()

    async def go_on() -> None:
        while not enough.is_set():
            await step()
            await asyncio.sleep(_PAUSE_SECONDS)

    task = asyncio.create_task(go_on())
    _going_on.add(task)
    try:
        yield
    finally:
        enough.set()
        _going_on.discard(task)
        await task


async def let_finish(
    tasks: Sequence[asyncio.Task[None]], *, within_seconds: float, error: BaseException | None
) -> None:
    """Waits for tasks that have been told to stop, and cancels those that take longer; at once if the test has failed
    with `error`. Raises the first of their own errors, unless the test has failed anyway."""
    try:
        await asyncio.wait(tasks, timeout=pace.seconds(within_seconds) if error is None else 0)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    failures = [failure for failure in ended if isinstance(failure, Exception)]
    if failures and error is None:
        raise failures[0]


def all_go_on() -> None:
    """Raises the error that ended any of this work. Everything that waits in a test calls this while it waits."""
    for task in _going_on:
        if task.done():
            task.result()
