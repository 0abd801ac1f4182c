"""The log itself: `seq` without a gap, every event readable, and the balances and prices that follow. Memory grows only
with the ledgers' keys of one part at a time (see `ops/verify/parts.py`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import asyncpg
import msgspec

from domain.model import Event
from ops.verify.balances import Balances
from ops.verify.parts import parts_of
from ops.verify.prices import Prices
from ops.verify.report import Progress, Report
from ops.verify.snapshot import Snapshot
from runtime.records import read_event

_PROGRESS_EVENTS: Final = 20_000
_EVENTS: Final = "SELECT seq, type, subject, occurred_at, data::text, version FROM events ORDER BY seq"


class _Entries:
    """The log, entry by entry: each must be the next one, be readable, and not be earlier than the previous one."""

    def __init__(self, report: Report, ordered_after: int) -> None:
        self._report = report
        self._ordered_after = ordered_after
        self._next_seq = 1
        self._last_at: datetime | None = None

    def read(self, row: asyncpg.Record) -> Event | None:
        """The log's next event; None if the row does not hold one."""
        seq, event_type, subject, at, data, version = row
        if seq != self._next_seq:
            self._report.differ(
                "log", f"seq {self._next_seq}", "events are missing", first=self._next_seq, last=seq - 1
            )
        self._next_seq = seq + 1
        if self._last_at is not None and at < self._last_at and seq > self._ordered_after:
            self._report.differ(
                "log", f"seq {seq}", "happened before the event before it", at=str(at), before=str(self._last_at)
            )
        self._last_at = at if self._last_at is None else max(at, self._last_at)
        try:
            event = read_event(event_type, version, data)
        except (KeyError, msgspec.MsgspecError) as error:
            self._report.differ("log", f"seq {seq}", "is no event", type=event_type, error=str(error))
            return None
        if event.subject() != subject:
            self._report.differ("log", f"seq {seq}", "names a different subject from its data", named=subject)
        return event

    def compare(self, last_seq: int, last_at: datetime) -> None:
        """At the end of the log: the counter must match the last event and its moment."""
        if self._next_seq - 1 != last_seq:
            self._report.differ(
                "log", "event_counter", "is not the last event's seq", counter=last_seq, last=self._next_seq - 1
            )
        if self._last_at is not None and self._last_at != last_at:
            self._report.differ(
                "log",
                "event_counter",
                "is not at the last event's moment",
                counter=str(last_at),
                last=str(self._last_at),
            )


async def check_log(snapshot: Snapshot, report: Report, progress: Progress) -> None:
    """Folds all events in order; compares the counter, every balance and the prices of every order."""
    last_seq, last_at, ordered_after = await snapshot.row("SELECT last_seq, last_at, ordered_after FROM event_counter")
    parts = await parts_of(snapshot)
    for part in parts:
        balances, prices = Balances(report, part), Prices(report, part)
        # An error in the event itself is reported once.
        entry = _Entries(Report() if part.number else report, ordered_after)
        async for block in snapshot.blocks(_EVENTS):
            for row in block:
                event = entry.read(row)
                if event is None:
                    continue
                seq = row[0]
                balances.follow(seq, event)
                prices.follow(seq, event)
                if seq % _PROGRESS_EVENTS == 0:
                    progress("log", part.number * last_seq + seq, len(parts) * last_seq)
        entry.compare(last_seq, last_at)
        await balances.compare(snapshot)
    report.counts["events"] = last_seq
    progress("log", len(parts) * last_seq, len(parts) * last_seq)
