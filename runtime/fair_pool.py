"""A pool of SQLAlchemy's whose connections go to those who wait for one, in their order.

In asyncio's own queue, an item that was put back lies there until the one who waits for it runs: anybody who comes at
that moment takes it, and the one who waited is the last again. Where many ask at once, some would wait until they time
out, however quickly all the others are served.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from sqlalchemy import AsyncAdaptedQueuePool
from sqlalchemy.util import memoized_property
from sqlalchemy.util.queue import AsyncAdaptedQueue


class InTurn(asyncio.LifoQueue[Any]):
    """Hands what is put to who has waited longest; it keeps nothing while somebody waits. What was put last comes
    first: a session that was used just now has at hand what views ask for."""

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
                self.put_nowait(getter.result())  # it had come already
            with suppress(ValueError):
                self._getters.remove(getter)
            raise


class _Queue(AsyncAdaptedQueue[Any]):
    @memoized_property
    def _queue(self) -> asyncio.Queue[Any]:
        return InTurn(maxsize=self.maxsize)


class FairPool(AsyncAdaptedQueuePool):
    """Whoever has waited longest for a connection gets the next one."""

    _queue_class = _Queue
