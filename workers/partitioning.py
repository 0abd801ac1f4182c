"""Creates the log's partitions ahead of time, so that no batch ever waits for one or has to use the default partition;
and measures how overdue the archiving of old ones is.

Once a minute, whichever background process comes first does it. Creating a partition briefly locks the default
partition, which a reader of the whole log holds. In that case it is tried again a minute later; partitions are hours
ahead, so that does no harm.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final, NamedTuple

import asyncpg

from runtime.database import Connection, create_batch_pool
from runtime.metrics import LOG_ARCHIVE_LAG, LOG_FIRST_SEQ, LOG_PARTITIONS_AHEAD
from runtime.partitions import COMMANDS, EVENTS, Parted, making, partitions
from runtime.settings import Settings
from workers.failures import DATABASE_TROUBLE

AHEAD: Final = 2
"""How many whole partitions to keep ready beyond the one being written to."""

_EVERY_SECONDS: Final = 60.0
_LOCK_TIMEOUT: Final = "500ms"

# If the default partition holds rows of the new range, they have to be moved.
_MAX_SECONDS: Final = 300.0

_TURN: Final = "SELECT pg_try_advisory_xact_lock(7431984410313)"  # any number, as long as it is always this one
_DAY_MS: Final = 86_400_000
_DAY_SECONDS: Final = 86_400
_AGE: Final = "SELECT extract(epoch FROM now() - occurred_at)::float FROM events WHERE seq = $1"
_LOG: Final = "SELECT last_seq, first_seq, (extract(epoch FROM now()) * 1000)::bigint FROM event_counter, log_start"

_log = logging.getLogger(__name__)


class _Missing(NamedTuple):
    """A partition to be created."""

    parted: Parted
    start: int
    end: int

    @property
    def name(self) -> str:
        return self.parted.name(self.start)


async def create_partition_pool(database_url: str) -> asyncpg.Pool[Any]:
    """The connection for creating partitions, opened on first use. It may take longer than a batch may."""
    return await create_batch_pool(database_url, size=1, batch_max_seconds=_MAX_SECONDS, part="partitions-batch")


class Partitioner:
    """Creates partitions for one background process, with a pool from `create_partition_pool`. Several processes may do
    so at the same time."""

    def __init__(self, config: Settings, pool: asyncpg.Pool[Any]) -> None:
        self._sizes = {
            EVENTS: config.log_partition_max_events,
            COMMANDS: config.command_partition_days * _DAY_MS,
        }
        self._archive_after_seconds = config.log_archive_after_days * _DAY_SECONDS
        self._pool = pool
        self._tended_at = float("-inf")

    async def tend(self) -> None:
        """Looks at most once a minute, however often it is called. If it fails, it tries again a minute later."""
        if time.monotonic() - self._tended_at < _EVERY_SECONDS:
            return
        self._tended_at = time.monotonic()
        try:
            await self.make()
        except asyncpg.LockNotAvailableError:
            _log.info("no partition can be made while somebody is reading the whole log; retrying in a minute")
        except DATABASE_TROUBLE as error:
            _log.warning("no partition could be made (%s: %s); retrying in a minute", type(error).__name__, error)

    async def make(self) -> list[str]:
        """Creates the missing partitions; returns their names."""
        made: list[str] = []
        async with self._pool.acquire() as connection:
            for parted in self._sizes:
                while (missing := await self._missing(connection, parted)) is not None:
                    if not await _make(connection, missing):
                        break
                    made.append(missing.name)
            LOG_ARCHIVE_LAG.set(await self._archive_lag(connection))
        return made

    async def _archive_lag(self, connection: Connection) -> float:
        """By how many seconds the archiving of the oldest whole partition of events is overdue. A partition is due when
        its last event is old enough."""
        if not self._archive_after_seconds or not (known := await partitions(connection, EVENTS)):
            return 0.0
        age = await connection.fetchval(_AGE, known[0].end - 1)
        return max(0.0, (age or 0.0) - self._archive_after_seconds)

    async def _missing(self, connection: Connection, parted: Parted) -> _Missing | None:
        """The next partition to create; None if there are enough."""
        last_seq, first_seq, now_ms = await connection.fetchrow(_LOG)
        LOG_FIRST_SEQ.set(first_seq)
        reached, size = now_ms if parted.by_moment else last_seq, self._sizes[parted]
        known = await partitions(connection, parted)
        ahead = sum(each.start is not None and each.start > reached for each in known)
        LOG_PARTITIONS_AHEAD.labels(parted.table).set(ahead)
        if ahead >= AHEAD:
            return None
        beginning = now_ms // _DAY_MS * _DAY_MS if parted.by_moment else first_seq
        start = known[-1].end if known else beginning
        return _Missing(parted, start, start + size)


async def _make(connection: Connection, missing: _Missing) -> bool:
    """Creates a partition; False if another process is at it."""
    async with connection.transaction():
        if not await connection.fetchval(_TURN):
            return False
        if missing.name in {each.name for each in await partitions(connection, missing.parted)}:
            return True
        await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
        for statement in making(*missing):
            await connection.execute(statement)
    _log.info("made the partition %s", missing.name)
    return True
