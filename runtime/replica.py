"""A streaming replica of Postgres, for reads: how much of the log it has, and whether it can be trusted with a read.

It is checked several times a second. It is trusted while it answers, is a standby, has the primary's log, and does not
lag too much: a promoted one would show a diverging log, and a lagging one an outdated shop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from runtime.engine import VIEW_FAILED
from runtime.liveness import Liveness
from runtime.metrics import REPLICA_GATEWAYS, REPLICA_LAG_EVENTS, REPLICA_LAG_SECONDS
from runtime.tables import event_counter, log_branches

_log = logging.getLogger(__name__)

# Between two checks of the replica: ordinarily, and while a reader waits for it to catch up.
_LOOK_SECONDS: Final = 0.2
_LOOK_AGAIN_SECONDS: Final = 0.01

_PLACE: Final = select(
    event_counter.c.last_seq,
    select(log_branches.c.identity).order_by(log_branches.c.number.desc()).limit(1).scalar_subquery(),
    func.pg_is_in_recovery(),
)


class Place(NamedTuple):
    """The last seq and the identity of a log; None if the identity is not known."""

    seq: int
    identity: UUID | None


_LOOKS_MAX: Final = 10_000


class Lag:
    """The replica's lag: for how long it has lacked the oldest event that it lacks, estimated from where both servers
    were at each check."""

    def __init__(self) -> None:
        self._passed: deque[tuple[float, int]] = deque()

    def seconds(self, now: float, primary_seq: int, replica_seq: int) -> float:
        """The lag, with both seqs as of `now`. Checks that the replica has caught up with are forgotten. At most
        `_LOOKS_MAX` are kept; beyond that, the last one stands for all that follow, which overestimates the lag."""
        if not self._passed or self._passed[-1][1] < primary_seq:
            since = self._passed.pop()[0] if len(self._passed) >= _LOOKS_MAX else now
            self._passed.append((since, primary_seq))
        while self._passed and self._passed[0][1] <= replica_seq:
            self._passed.popleft()
        return now - self._passed[0][0] if self._passed else 0.0


class Replica:
    """The replica as one process sees it. `engine` is for its readers; `scout` has a connection of its own, so that a
    busy replica is not taken for a dead one."""

    def __init__(
        self, engine: AsyncEngine, scout: AsyncEngine, *, primary: Callable[[], Place], lag_max_seconds: float
    ) -> None:
        """`primary` returns what is known of the primary's log."""
        self.engine = engine
        self._scout = scout
        self._primary = primary
        self._lag_max_seconds = lag_max_seconds
        self._lag = Lag()
        self._lag_seconds = 0.0
        self._seq = 0
        self._fault: str | None = "it has not been asked yet"
        self._waiting = 0
        self._wanted = asyncio.Event()
        self._looked = asyncio.Event()

    @property
    def is_trusted(self) -> bool:
        """Whether it can be read from now."""
        return self._fault is None

    async def run(self) -> None:
        """Checks the replica until cancelled."""
        while True:
            try:
                await self._look()
            except Exception:
                _log.exception("checking the replica failed")
                self._judge("its answer is not understood")
            looked, self._looked = self._looked, asyncio.Event()
            looked.set()
            if self._waiting:
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
                continue
            self._wanted.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._wanted.wait()

    async def close(self) -> None:
        """Closes its connections."""
        await self.engine.dispose()
        await self._scout.dispose()

    def distrust(self, error: BaseException) -> None:
        """Notes that a reader could not connect to it, so that no other reader tries before the next check."""
        self._judge(f"it cannot be reached ({type(error).__name__})")

    async def reaches(self, seq: int, seconds: float) -> bool:
        """Whether it has the log up to `seq`, now or within this many seconds; if its lag is longer, does not wait at
        all. There may be several replicas behind one address, so a reader checks again with `has`."""
        if seq <= self._seq:
            return True
        if self._lag_seconds > seconds:
            return False
        self._waiting += 1
        self._wanted.set()
        try:
            async with asyncio.timeout(seconds):
                while self.is_trusted and seq > self._seq:
                    await self._looked.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return self.is_trusted

    async def has(self, connection: AsyncConnection, seq: int) -> bool:
        """Whether the server at the other end is a standby that has the log up to `seq`."""
        last_seq, _, in_recovery = (await connection.execute(_PLACE)).one()
        return bool(in_recovery and last_seq >= seq)

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(Liveness.configured().answer_seconds), self._scout.connect() as connection:
                seq, identity, in_recovery = (await connection.execute(_PLACE)).one()
        except VIEW_FAILED as error:
            self._seq = 0  # when it answers again, it may be another server
            self._judge(f"it cannot be reached ({type(error).__name__})")
            return
        primary = self._primary()
        self._seq = seq
        self._lag_seconds = self._lag.seconds(time.monotonic(), primary.seq, seq)
        REPLICA_LAG_EVENTS.set(max(0, primary.seq - seq))
        REPLICA_LAG_SECONDS.set(self._lag_seconds)
        if not in_recovery:
            self._judge("it is not a standby: was it promoted?")
        elif primary.identity is not None and identity != primary.identity:
            self._judge(f"it has a different log, {identity}")
        elif self._lag_seconds > self._lag_max_seconds:
            self._judge(f"it lags by more than {self._lag_max_seconds:g} s")
        else:
            self._judge(None)

    def _judge(self, fault: str | None) -> None:
        if fault != self._fault:
            if fault is None:
                _log.info("reads go to the replica")
            else:
                _log.warning("reads go to the primary, not to the replica: %s", fault)
        self._fault = fault
        REPLICA_GATEWAYS.labels("yes").set(fault is None)
        REPLICA_GATEWAYS.labels("no").set(fault is not None)
