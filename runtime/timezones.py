"""Time zones by their IANA names, and the days that they make: some have 23 hours, some 25, and a few never were."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

TIME_ZONE_MAX_CHARS = 64


class UnknownTimeZone(ValueError):
    """A text that names no time zone."""


@lru_cache(maxsize=1)
def names() -> frozenset[str]:
    """All names, as the machine has them, or the package `tzdata`."""
    return frozenset(available_timezones())


def zone_of(name: str) -> ZoneInfo:
    """The zone of a name. Raises UnknownTimeZone."""
    if name not in names():
        raise UnknownTimeZone(
            f"{name[:TIME_ZONE_MAX_CHARS]!r} is no time zone, as Europe/Berlin or Pacific/Auckland are."
        )
    return ZoneInfo(name)


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The moment (UTC) at which a day begins somewhere. A day whose midnight the clocks leave out begins where they go
    on; one whose midnight comes twice begins with the first."""
    try:
        return datetime.combine(day, time(0), tzinfo=zone).astimezone(UTC)
    except OverflowError:  # a day at the ends of the calendar
        return datetime.combine(day, time(0), tzinfo=UTC)
