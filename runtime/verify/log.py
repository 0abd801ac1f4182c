"""The log itself: `seq` without a gap, every event readable, and stock and prices as they follow from them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec

from domain.catalogue import VariantAdded
from domain.model import Event, Shop, Stock, evolve
from domain.stock import NOTHING
from runtime.records import EventRecord
from runtime.verify.prices import Prices
from runtime.verify.report import Progress, Report
from runtime.verify.streams import stream

_PROGRESS_EVENTS: Final = 20_000


class _Shelves(dict[str, Stock]):
    """Stock that notes the moment it was ever oversold."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self._report = report
        self.seq = 0

    def __setitem__(self, sku: str, stock: Stock) -> None:
        if not 0 <= stock.reserved <= stock.on_hand:
            self._report.differ("stock", sku, "oversold", seq=self.seq, on_hand=stock.on_hand, reserved=stock.reserved)
        super().__setitem__(sku, stock)


class _Moments:
    """The moments of events: those of one command are one, and they never run backwards along `seq`."""

    def __init__(self, report: Report, ordered_after: int) -> None:
        self._report = report
        self._ordered_after = ordered_after
        self._last: datetime | None = None

    def follow(self, row: asyncpg.Record) -> None:
        """Takes the log's next event."""
        seq, at = row["seq"], row["occurred_at"]
        if self._last is not None and at < self._last and seq > self._ordered_after:
            self._report.differ(
                "log", f"seq {seq}", "happened before the event before it", at=str(at), before=str(self._last)
            )
        self._last = at if self._last is None else max(at, self._last)

    def compare(self, last_at: datetime) -> None:
        """At the log's end: the counter must know of the last moment."""
        if self._last is not None and self._last != last_at:
            self._report.differ(
                "log", "event_counter", "is not at the last event's moment", counter=str(last_at), last=str(self._last)
            )


async def check_log(connection: asyncpg.Connection[Any], report: Report, progress: Progress) -> None:
    """Folds all events in order; compares the counter, every stock row and the prices of every order."""
    last_seq, prices_seq, last_at, ordered_after = await connection.fetchrow(
        "SELECT last_seq, prices_seq, last_at, ordered_after FROM event_counter"
    )
    moments = _Moments(report, ordered_after)
    shelves = _Shelves(report)
    prices = Prices(report)
    expected = 1
    async for row in stream(
        connection, "SELECT seq, type, subject, command_id, actor, occurred_at, data::text FROM events ORDER BY seq"
    ):
        seq = row["seq"]
        if seq != expected:
            report.differ("log", f"seq {expected}", "events are missing", first=expected, last=seq - 1)
        expected = seq + 1
        shelves.seq = seq
        moments.follow(row)
        if (event := _read(row, report)) is not None:
            if isinstance(event, VariantAdded):
                shelves.setdefault(event.sku, NOTHING)
            evolve(Shop(stock=shelves), event)  # all else is folded bit by bit, elsewhere: at once it would not fit
            prices.follow(seq, row["occurred_at"], event)
        if seq % _PROGRESS_EVENTS == 0:
            progress("log", seq, last_seq)
    if expected - 1 != last_seq:
        report.differ("log", "event_counter", "is not the last event's seq", counter=last_seq, last=expected - 1)
    moments.compare(last_at)
    prices.compare(prices_seq, last_seq)
    report.counts["events"] = last_seq
    await _compare_stock(connection, shelves, report)
    progress("log", last_seq, last_seq)


def _read(row: asyncpg.Record, report: Report) -> Event | None:
    """The event of a row, if it holds one."""
    record = EventRecord(
        row["seq"], row["type"], row["subject"], row["command_id"], row["actor"], 0, msgspec.Raw(row["data"].encode())
    )
    try:
        event = record.event()
    except (KeyError, msgspec.MsgspecError) as error:
        report.differ("log", f"seq {record.seq}", "is no event", type=record.type, error=str(error))
        return None
    if event.subject() != record.subject:
        report.differ("log", f"seq {record.seq}", "names another subject than its data", named=record.subject)
    return event


async def _compare_stock(connection: asyncpg.Connection[Any], shelves: _Shelves, report: Report) -> None:
    rows = 0
    async for sku, on_hand, reserved in stream(connection, "SELECT sku, on_hand, reserved FROM stock ORDER BY sku"):
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
    report.counts["stock_rows"] = rows
