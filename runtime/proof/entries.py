"""Checks the log itself: seqs have no gaps, every event is readable, and moments never run backwards."""

from __future__ import annotations

from datetime import datetime

import asyncpg
import msgspec

from domain.model import Event
from runtime.proof.report import Report
from runtime.records import read_event


class Entries:
    """The log, entry by entry: each must be the next one, be readable, and not be earlier than the previous one."""

    def __init__(self, report: Report, ordered_after: int, last_seq: int = 0, last_at: datetime | None = None) -> None:
        """`last_seq` and `last_at` are those of the event before the first one to be read."""
        self._report = report
        self._ordered_after = ordered_after
        self._next_seq = last_seq + 1
        self._last_at = last_at

    def read(self, row: asyncpg.Record) -> Event | None:
        """The log's next event, from a row of LOG_ROW; None if it does not hold one."""
        seq, event_type, subject, at, data, version, *_ = row
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
