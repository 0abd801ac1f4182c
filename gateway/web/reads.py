"""Which Postgres a read goes to: the replica, if there is one that can be trusted and has what the read needs;
otherwise the primary.

The response to a write names the seq of its event (`Tidegate-Seq`). A read with that seq in `If-Seq-At-Least` sees the
write: all events of a command are committed together, and a replica shows the whole commit or none of it.

Only views of orders, stock and the catalogue are read here. Whatever must not be outdated is read from the primary:
what decisions depend on (rights, sessions, the capacity of topics), the state of commands and tasks, and the log and
its followers.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Final, TypeVar

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.web.problems import Problem, invalid_request
from runtime.engine import VIEW_FAILED
from runtime.metrics import REPLICA_READS
from runtime.replica import Replica
from runtime.tables import event_counter

_log = logging.getLogger(__name__)

_T = TypeVar("_T")
View = Callable[[AsyncConnection], Awaitable[_T]]

SEQ_MAX: Final = 2**63 - 1
_SEQ: Final = re.compile("[0-9]{1,19}")


def seq_at_least(request: Request) -> int | None:
    """The seq that the response must include, if the request names one. Raises a 422 Problem for an invalid one."""
    said = request.headers.get("if-seq-at-least")
    if said is None:
        return None
    if not _SEQ.fullmatch(said) or int(said) > SEQ_MAX:
        raise invalid_request(
            [{"loc": ("header", "If-Seq-At-Least"), "msg": "This is not a seq of the log.", "type": "not_seq"}]
        )
    return int(said)


class Reads:
    """The reads of one gateway process."""

    def __init__(
        self, primary: AsyncEngine, replica: Replica | None, *, seen: Callable[[], int], wait_seconds: float
    ) -> None:
        """`seen` returns a seq that the primary's log certainly has."""
        self._primary = primary
        self._replica = replica
        self._seen = seen
        self._wait_seconds = wait_seconds

    async def read(self, request: Request, view: View[_T]) -> _T:
        """The result of `view`, read at the seq that the request names or later. `view` may be called twice. Raises
        what a view raises, and Problems: 422 for an invalid header, 412 for a seq that the log has not reached."""
        return await self.read_at(seq_at_least(request), view)

    async def read_at(self, seq: int | None, view: View[_T], *, certain: bool = False) -> _T:
        """The result of `view`, read at `seq` or later; None for any. If it is `certain` that the log has the seq, that
        is not checked."""
        if self._replica is not None:
            async with AsyncExitStack() as stack:
                return await self.hold(stack, seq, view, certain=certain)
        async with self._primary.connect() as connection:
            await self._check(connection, seq, certain=certain)
            return await view(connection)

    async def hold(self, stack: AsyncExitStack, seq: int | None, view: View[_T], *, certain: bool = False) -> _T:
        """Like `read_at`, but keeps the connection until `stack` is closed."""
        if self._replica is not None:
            try:
                async with AsyncExitStack() as trying:
                    connection = await self._connect(self._replica, trying, seq)
                    if connection is not None:
                        shown = await view(connection)
                        REPLICA_READS.labels("answered").inc()
                        stack.push_async_callback(_let_go, trying.pop_all())
                        return shown
            except VIEW_FAILED as error:
                if isinstance(error, TimeoutError):  # the primary would take as long
                    raise
                # The replica became unavailable, or cancelled the query because it conflicted with its recovery.
                _log.info("a read of the replica failed (%s) and goes to the primary", type(error).__name__)
                REPLICA_READS.labels("failed").inc()
        connection = await stack.enter_async_context(self._primary.connect())
        await self._check(connection, seq, certain=certain)
        return await view(connection)

    async def _connect(self, replica: Replica, stack: AsyncExitStack, seq: int | None) -> AsyncConnection | None:
        """A connection to the replica, if it can be trusted and has the log up to `seq`."""
        if not replica.is_trusted:
            REPLICA_READS.labels("distrusted").inc()
            return None
        if seq is not None and not await replica.reaches(seq, self._wait_seconds):
            REPLICA_READS.labels("not_reached").inc()
            return None
        try:
            connection = await stack.enter_async_context(replica.engine.connect())
        except VIEW_FAILED as error:
            if not isinstance(error, PoolTimeoutError):  # that would mean it is busy, not unavailable
                replica.distrust(error)
            REPLICA_READS.labels("failed").inc()
            return None
        if seq is not None and not await replica.has(connection, seq):
            REPLICA_READS.labels("not_reached").inc()
            return None
        return connection

    async def _check(self, primary: AsyncConnection, seq: int | None, *, certain: bool) -> None:
        """Raises a 412 Problem unless the log has reached this seq."""
        if seq is None or certain or seq <= self._seen():
            return
        last_seq: int = (await primary.execute(select(event_counter.c.last_seq))).scalar_one()
        if last_seq < seq:
            raise Problem("seq_not_reached", f"The log ends at seq {last_seq}.", extensions={"last_seq": last_seq})


async def _let_go(held: AsyncExitStack) -> None:
    """Closes a connection after its read; if closing fails, nothing is lost."""
    with suppress(*VIEW_FAILED):
        await held.aclose()
