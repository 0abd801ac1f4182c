"""Which Postgres a read goes to: the replica, if there is one, that can be trusted and has what the read asks for, and
otherwise the primary.

A write's answer names the seq of its event (`Tidegate-Seq`). A read that says `If-Seq-At-Least` with it shows that
write: all events of a command are committed together, and a replica shows the whole commit or nothing of it.

Only what is shown of orders, stock and the catalogue is read here. What decides (rights, sessions, the rooms that
topics have), what is told of a command or a task, and the log and those who follow it must not be of a moment ago: that
is read from the primary.
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
    """The seq that the answer must include, if the request says so. Raises a 422 Problem for what is none."""
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
        """`seen` is the seq that the primary's log has for certain."""
        self._primary = primary
        self._replica = replica
        self._seen = seen
        self._wait_seconds = wait_seconds

    async def read(self, request: Request, view: View[_T]) -> _T:
        """What `view` makes of a connection, as of the seq that the request names. It may be called twice. Raises what
        a view raises, and Problems: 422 for a header that is no seq, 412 for a seq that the log has not reached."""
        return await self.read_at(seq_at_least(request), view)

    async def read_at(self, seq: int | None, view: View[_T], *, certain: bool = False) -> _T:
        """The same as of that seq, or of any. That the log has it may be `certain`."""
        if self._replica is not None:
            async with AsyncExitStack() as stack:
                return await self.hold(stack, seq, view, certain=certain)
        async with self._primary.connect() as connection:
            await self._check(connection, seq, certain=certain)
            return await view(connection)

    async def hold(self, stack: AsyncExitStack, seq: int | None, view: View[_T], *, certain: bool = False) -> _T:
        """The same, with the connection held until `stack` is closed."""
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
                if isinstance(error, TimeoutError):  # it would take as long again
                    raise
                # The replica went away, or ended what was in the way of what it had to replay.
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
            if not isinstance(error, PoolTimeoutError):  # then it is busy, and not away
                replica.distrust(error)
            REPLICA_READS.labels("failed").inc()
            return None
        if seq is not None and not await replica.has(connection, seq):
            REPLICA_READS.labels("not_reached").inc()
            return None
        return connection

    async def _check(self, primary: AsyncConnection, seq: int | None, *, certain: bool) -> None:
        """Raises a 412 Problem unless the log has got that far."""
        if seq is None or certain or seq <= self._seen():
            return
        last_seq: int = (await primary.execute(select(event_counter.c.last_seq))).scalar_one()
        if last_seq < seq:
            raise Problem("seq_not_reached", f"The log ends at seq {last_seq}.", extensions={"last_seq": last_seq})


async def _let_go(held: AsyncExitStack) -> None:
    """Closes a connection that has shown what it was to show: if it cannot be ended in order, nothing is lost."""
    with suppress(*VIEW_FAILED):
        await held.aclose()
