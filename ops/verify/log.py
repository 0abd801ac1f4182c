"""The log itself: `seq` without a gap, every event readable, and stock and prices as they follow from them.

What is remembered grows with the SKUs, and only with those of one part at a time (see `ops/verify/parts.py`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import asyncpg
import msgspec

from domain.catalogue import VariantAdded
from domain.model import Event, Shop, Stock, evolve
from domain.stock import NOTHING
from ops.verify.parts import Part, parts_of
from ops.verify.prices import Prices
from ops.verify.report import Progress, Report
from ops.verify.snapshot import Snapshot
from runtime.records import read_event

_PROGRESS_EVENTS: Final = 20_000
_EVENTS: Final = "SELECT seq, type, subject, occurred_at, data::text FROM events ORDER BY seq"


class _Shelves(dict[str, Stock]):
    """Stock of one part of the SKUs, that notes the moment it was ever oversold."""

    def __init__(self, report: Report, part: Part) -> None:
        super().__init__()
        self._report = report
        self._part = part
        self.seq = 0

    def __setitem__(self, sku: str, stock: Stock) -> None:
        if self._part.of_many and sku not in self._part:
            return
        if not 0 <= stock.reserved <= stock.on_hand:
            self._report.differ("stock", sku, "oversold", seq=self.seq, on_hand=stock.on_hand, reserved=stock.reserved)
        super().__setitem__(sku, stock)


class _Entries:
    """The log entry by entry: each the next one, readable, and not before the one before it."""

    def __init__(self, report: Report, ordered_after: int) -> None:
        self._report = report
        self._ordered_after = ordered_after
        self._next_seq = 1
        self._last_at: datetime | None = None

    def read(self, row: asyncpg.Record) -> Event | None:
        """The log's next event, if the row holds one."""
        seq, event_type, subject, at, data = row
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
            event = read_event(event_type, data)
        except (KeyError, msgspec.MsgspecError) as error:
            self._report.differ("log", f"seq {seq}", "is no event", type=event_type, error=str(error))
            return None
        if event.subject() != subject:
            self._report.differ("log", f"seq {seq}", "names another subject than its data", named=subject)
        return event

    def compare(self, last_seq: int, last_at: datetime) -> None:
        """At the log's end: the counter must know of the last event, and of its moment."""
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
    """Folds all events in order; compares the counter, every stock row and the prices of every order."""
    last_seq, prices_seq, last_at, ordered_after = await snapshot.row(
        "SELECT last_seq, prices_seq, last_at, ordered_after FROM event_counter"
    )
    parts = await parts_of(snapshot)
    prices_moved_seq = stock_rows = 0
    for part in parts:
        shelves, prices = _Shelves(report, part), Prices(report, part)
        # What is wrong with an event itself is told once.
        entry = _Entries(Report() if part.number else report, ordered_after)
        async for block in snapshot.blocks(_EVENTS):
            for row in block:
                seq, _, _, at, _ = row
                shelves.seq = seq
                event = entry.read(row)
                if event is None:
                    continue
                if isinstance(event, VariantAdded) and event.sku not in shelves:
                    shelves[event.sku] = NOTHING
                _move_stock(event, shelves)
                prices.follow(seq, at, event)
                if seq % _PROGRESS_EVENTS == 0:
                    progress("log", part.number * last_seq + seq, len(parts) * last_seq)
        entry.compare(last_seq, last_at)
        prices_moved_seq = max(prices_moved_seq, prices.moved_seq())
        stock_rows += await _compare_stock(snapshot, part, shelves, report)
    if not prices_moved_seq <= prices_seq <= last_seq:
        report.differ(
            "log",
            "prices_seq",
            "is not where a price last changed",
            counter=prices_seq,
            changed=prices_moved_seq,
            last=last_seq,
        )
    report.counts["events"] = last_seq
    report.counts["stock_rows"] = stock_rows
    progress("log", len(parts) * last_seq, len(parts) * last_seq)


def _move_stock(event: Event, shelves: _Shelves) -> None:
    """All else is folded bit by bit, elsewhere: at once it would not fit."""
    evolve(Shop(stock=shelves), event)


async def _compare_stock(snapshot: Snapshot, part: Part, shelves: _Shelves, report: Report) -> int:
    """Compares the part's stock; returns how many rows there are of it."""
    rows = 0
    async for block in snapshot.blocks("SELECT sku, on_hand, reserved FROM stock ORDER BY sku"):
        for sku, on_hand, reserved in block:
            if sku not in part:
                continue
            rows += 1
            folded = shelves.pop(sku, None)
            if folded is None:
                report.differ("stock", sku, "has no event")
                continue
            if (on_hand, reserved) != (folded.on_hand, folded.reserved):
                report.differ(
                    "stock",
                    sku,
                    "the table does not say what the log says",
                    table={"on_hand": on_hand, "reserved": reserved},
                    log={"on_hand": folded.on_hand, "reserved": folded.reserved},
                )
            if not 0 <= reserved <= on_hand:
                report.differ("stock", sku, "oversold", on_hand=on_hand, reserved=reserved)
    for sku in shelves:
        report.differ("stock", sku, "is in the log but not in the table")
    return rows
