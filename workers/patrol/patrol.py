"""Runs round after round, for as long as the background process lives. Every process patrols; they take turns, because
a round locks the fold's position, and a process that does not get the lock skips its round.

A round is one repeatable-read transaction, so it sees one snapshot. It reports its findings after its commit, so that
each is reported once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter as Counts
from collections import defaultdict
from contextlib import suppress
from typing import Any, Final

import asyncpg

from runtime.database import Connection
from runtime.entities import EntityTable
from runtime.ledgers import LEDGERS
from runtime.metrics import (
    VERIFY_DIFFERENCES,
    VERIFY_DIFFERENCES_FOUND,
    VERIFY_LAG_EVENTS,
    VERIFY_LAG_SECONDS,
    VERIFY_ROUND_TIMESTAMP,
    VERIFY_SEQ,
    VERIFY_WRITTEN_BY_HAND,
    allow_tables,
)
from runtime.proof.entities import FoldedEntity
from runtime.proof.report import Report
from runtime.proof.stored import Position, held_position, meaning
from runtime.settings import Settings
from runtime.stored_fold.folding import Folded, Folding
from runtime.stored_fold.loaded import NOTHING_LOADED, Loaded
from runtime.stored_fold.storing import begin_again, store, take_over
from runtime.stored_fold.window import Window, read_window
from workers.failures import DATABASE_TROUBLE
from workers.patrol import rows, suspects
from workers.patrol.suspects import Looked, Looking

# While processes of another release are folding, leave it to them until they have not been seen for this long.
_OTHERS_SECONDS: Final = 60
_SHOWN_MAX: Final = 5

_HOLD: Final = f"""
    SELECT seq, at, digest, meaning, numbers, balances_seq,
        moved_at > now() - interval '{_OTHERS_SECONDS} seconds' AS others
    FROM fold_position FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - ours
_SEEN: Final = "UPDATE fold_position SET moved_at = now() WHERE moved_at < now() - interval '10 seconds'"
_BALANCED: Final = "UPDATE fold_position SET balances_seq = $1"
_FIRST_SEQ: Final = "SELECT first_seq FROM log_start"
_FIRST_AFTER: Final = """
    SELECT extract(epoch FROM clock_timestamp() - occurred_at)::float FROM events WHERE seq > $1 ORDER BY seq LIMIT 1
"""

_log = logging.getLogger(__name__)


allow_tables(suspects.WATCHED)


class Found:
    """What a round found, reported once it has committed."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.log = Report()
        self.looked = Looked()
        self.open: dict[str, int] = {}
        self.lag_seconds = 0.0
        self.loaded: Loaded | None = None

    @property
    def is_all(self) -> bool:
        """Whether nothing is left to verify."""
        return self.window.reaches_the_tail and not self.looked.more


class Patrol:
    """The patrol of one process; `pool` needs one connection."""

    def __init__(self, config: Settings, pool: asyncpg.Pool[Any]) -> None:
        self._config = config
        self._pool = pool
        self._looking = Looking()
        self._loaded = NOTHING_LOADED
        self._told: set[tuple[str, str, str]] = set()
        self._told_archived = False
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        VERIFY_ROUND_TIMESTAMP.set(time.time())
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    async def _run(self) -> None:
        every, share = self._config.verify_every_seconds, self._config.verify_catch_up_percent / 100
        while True:
            started = time.monotonic()
            try:
                found = await self.round()
            except DATABASE_TROUBLE as error:
                _log.warning("a round of the patrol failed (%s: %s)", type(error).__name__, error)
                found = None
            except Exception:
                _log.exception("verify_failed: a round of the patrol failed")
                found = None
            took = time.monotonic() - started
            is_behind = found is not None and not found.is_all
            await asyncio.sleep(took * (1 / share - 1) if is_behind else max(0.0, every - took))

    async def round(self) -> Found | None:
        """Runs one round; None if another process is running it."""
        async with self._pool.acquire() as connection:
            try:
                async with connection.transaction(isolation="repeatable_read"):
                    found = await self._round(connection)
            except asyncpg.SerializationError:
                return None  # another process has just finished one
        if found is not None:
            self._loaded = found.loaded or self._loaded
            self._tell(found)
        return found

    async def _round(self, connection: Connection) -> Found | None:
        held = await connection.fetchrow(_HOLD)
        if held is None:
            return None
        base, balances_seq = held_position(held), held["balances_seq"]
        is_ours = held["meaning"] == meaning() or await take_over(connection, held["meaning"], base.seq)
        if not is_ours and held["meaning"] and held["others"]:
            return None
        if (base.seq + 1 if is_ours else 1) < (first_seq := await connection.fetchval(_FIRST_SEQ)):
            self._cannot_go_on(first_seq)
            return None
        if not is_ours:
            if not await begin_again(connection):
                return None
            base, balances_seq = Position(), 0
        config = self._config
        window = await read_window(
            connection, base, max_events=config.verify_window_max_events, max_bytes=config.verify_window_max_bytes
        )
        found = Found(window)
        if window.rows:
            folded = await Folding(connection, window, found.log, self._loaded).fold()
            found.loaded = folded.loaded
            await store(connection, window, folded)
            await suspects.add(connection, await self._different(connection, window, folded, balances_seq == base.seq))
        else:
            await connection.execute(_SEEN)
        if window.reaches_the_tail:
            if balances_seq != base.seq:
                await suspects.add_balances(connection)
            if balances_seq != window.until:
                await connection.execute(_BALANCED, window.until)
            _compare_counter(window, found.log)
            found.looked = await self._looking.look(connection)
        else:
            found.lag_seconds = await connection.fetchval(_FIRST_AFTER, window.until) or 0.0
        found.open = dict(await suspects.open_differences(connection))
        return found

    @staticmethod
    async def _different(connection: Connection, window: Window, folded: Folded, balanced: bool) -> Report:
        """The rows that differ from the fold. Rows that changed after the window are skipped, and so are balances,
        unless they all agreed before the window."""
        report = Report(differences_max=2 * len(window.rows))
        until = None if window.reaches_the_tail else window.at
        await rows.compare_orders(connection, folded.orders, report, until)
        by_table: dict[EntityTable, dict[str, FoldedEntity]] = defaultdict(dict)
        for table, _, each in folded.entities:
            by_table[table][str(getattr(each.state, table.key))] = each
        for table, of_table in by_table.items():
            await rows.compare_rows(connection, table, of_table, report, until)
        if window.reaches_the_tail and balanced:
            for ledger_table in LEDGERS:
                await rows.compare_balances(connection, ledger_table, folded.balances[ledger_table.ledger], report)
        return report

    def _cannot_go_on(self, first_seq: int) -> None:
        if not self._told_archived:
            _log.error(
                "verify_failed: this release folds events differently, and cannot fold those before seq %d, which are"
                " archived: nothing is verified until `tidegate verify --with-archive` has folded them",
                first_seq,
            )
        self._told_archived = True

    def _tell(self, found: Found) -> None:
        window = found.window
        VERIFY_SEQ.set(window.until)
        VERIFY_LAG_EVENTS.set(max(0, window.counter.last_seq - window.until))
        VERIFY_LAG_SECONDS.set(found.lag_seconds)
        VERIFY_ROUND_TIMESTAMP.set(time.time())
        for table in VERIFY_DIFFERENCES.allowed("table"):
            VERIFY_DIFFERENCES.labels(table).set(found.open.get(table, 0))
        if by_hand := found.looked.by_hand:
            for table, count in Counts(row.table for row in by_hand).items():
                VERIFY_WRITTEN_BY_HAND.labels(table).inc(count)
            shown = ", ".join(f"{row.table} {row.key}" for row in by_hand[:_SHOWN_MAX])
            _log.warning("written_by_hand: checked %d rows that no batch wrote: %s", len(by_hand), shown)
        for row, problem in found.looked.differences:
            self._alarm(row.table, row.key, problem)
        named = {tuple(each.row) for each in found.looked.differences}
        told = {(suspects.table_of(each["check"]), each["subject"], each["problem"]) for each in found.log.differences}
        for each in sorted(told - self._told):
            if each[:2] not in named:
                self._alarm(*each)
        self._told = told

    @staticmethod
    def _alarm(table: str, key: str, problem: str) -> None:
        VERIFY_DIFFERENCES_FOUND.labels(table).inc()
        _log.error("verify_difference: %s %s: %s", table, key, problem)


def _compare_counter(window: Window, report: Report) -> None:
    if window.newest_seq != window.counter.last_seq:
        report.differ("log", "event_counter", "is not the last event's seq")
