"""What goes on beside a test, as workers do beside a shop. Should it fail, whatever waits for its work fails too, and
says why: a test that waits for what nobody does any more would hang.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

_PAUSE_SECONDS: Final = 0.01
_going_on: set[asyncio.Task[None]] = set()


@asynccontextmanager
async def beside(step: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Takes `step` again and again while the block runs, and to its end. Raises what it raised."""
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


def all_go_on() -> None:
    """Raises what has ended one of those that should go on; everything that waits in a test calls it meanwhile."""
    for task in _going_on:
        if task.done():
            task.result()
