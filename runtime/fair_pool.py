"""A pool for SQLAlchemy that hands out connections in the order in which they were asked for.

asyncio's own queue is not fair: an item that is put back stays in the queue until its waiter runs, so a newcomer can
take it first, and the waiter goes to the end of the line. Under load, some requests would wait until they time out,
however quickly the others are served.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from sqlalchemy import AsyncAdaptedQueuePool
from sqlalchemy.util import memoized_property
from sqlalchemy.util.queue import AsyncAdaptedQueue


class InTurn(asyncio.LifoQueue[Any]):
    """A queue that hands an item directly to the longest waiter. Without waiters, it is last in, first out: the session
    that was used most recently has the warmest caches."""

    _getters: Any  # asyncio's own, which metrics count as well

    def put_nowait(self, item: Any) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(item)
                return
        super().put_nowait(item)

    async def get(self) -> Any:
        if not self.empty():
            return self.get_nowait()
        getter = asyncio.get_running_loop().create_future()
        self._getters.append(getter)
        try:
            return await getter
        except BaseException:
            if getter.done() and not getter.cancelled():
                self.put_nowait(getter.result())  # cancelled after it was handed an item
            with suppress(ValueError):
                self._getters.remove(getter)
            raise


class _Queue(AsyncAdaptedQueue[Any]):
    @memoized_property
    def _queue(self) -> asyncio.Queue[Any]:
        return InTurn(maxsize=self.maxsize)


class FairPool(AsyncAdaptedQueuePool):
    """A pool in which the longest waiter gets the next connection."""

    _queue_class = _Queue
