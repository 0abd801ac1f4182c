"""Checks the numbers of each series: events take them in order, without gaps, and the counter is at the last one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from domain.model import Event
from domain.numbers import SERIES, numbered, parsed_number
from runtime.proof.report import Report

COUNTER: Final = "SELECT last_seq, last_at, ordered_after, orders, invoices, credit_notes FROM event_counter"
"""The event counter; the last columns are how many numbers of each of SERIES were given out."""


class Numbers:
    """Follows the log from a place where `before` says how many of each series had been given out."""

    def __init__(self, report: Report, before: Mapping[str, int]) -> None:
        self._report = report
        self._given = {series: before.get(series, 0) for series in SERIES}

    def follow(self, seq: int, event: Event) -> None:
        """Follows the log's next event. Orders placed before numbers were introduced have none."""
        if (series := event.series) is None:
            return
        number: str | None = getattr(event, "number")  # noqa: B009 - every event of a series has one
        if number is None:
            return
        expected = self._given[series] + 1
        found = parsed_number(number)
        if number != numbered(series, expected):
            problem = "has another number than the next"
            self._report.differ("log", f"seq {seq}", problem, number=number, next=numbered(series, expected))
        if found is not None and found[0] == series:
            self._given[series] = max(self._given[series], found[1])  # so that a fault is reported only once

    def given(self) -> dict[str, int]:
        """How many of each series were given out."""
        return dict(self._given)

    def compare(self, counter: Sequence[int]) -> None:
        """At the end of the log: the counter must say the same, in the order of SERIES."""
        for series, counted in zip(SERIES, counter, strict=True):
            if counted != self._given[series]:
                problem = f"is not at the last number of {series}"
                self._report.differ("log", "event_counter", problem, counter=counted, last=self._given[series])
