"""Numbers for the events of a batch that take the next one of a series, such as invoices. They are known once the batch
has its places in the log, or, in an optimistic batch, once it has read the counter (it takes its places only if the
counter has not moved). Only then is the event's data complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from domain.model import Event
from domain.numbers import SERIES, numbered
from workers.eventlog import PendingEvent

_UNKNOWN: Final = b'"number":null}'
_MISSING_BYTES: Final = len(b"null}")


class Numbering:
    """Which events of a batch take numbers, by their places in the batch."""

    def __init__(self) -> None:
        self._places: dict[str, list[int]] = {series: [] for series in SERIES}

    def note(self, event: Event, place: int) -> None:
        """Notes that the event at this place takes a number, if it does."""
        if event.series is not None:
            self._places[event.series].append(place)

    def counts(self) -> list[int]:
        """How many numbers of each of SERIES are taken."""
        return [len(places) for places in self._places.values()]

    def give(self, pending: Sequence[PendingEvent], before: Sequence[int]) -> dict[int, str]:
        """Gives each event its number, where `before` says how many of each of SERIES had been given out; returns the
        numbers by the events' places in the batch."""
        given = {}
        for (series, places), last in zip(self._places.items(), before, strict=True):
            for count, place in enumerate(places, start=last + 1):
                event = pending[place]
                assert event.data.endswith(_UNKNOWN), f"{event.type} has a number already"
                given[place] = number = numbered(series, count)
                event.data = b'%b"%b"}' % (event.data[:-_MISSING_BYTES], number.encode())
        return given
