"""Time zones by IANA name, and when their days begin: some days have 23 hours, some 25, and a few were skipped."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

TIME_ZONE_MAX_CHARS = 64


class UnknownTimeZone(ValueError):
    """The text is not the name of a time zone."""


@lru_cache(maxsize=1)
def names() -> frozenset[str]:
    """All names that the machine or the package `tzdata` has."""
    return frozenset(available_timezones())


def zone_of(name: str) -> ZoneInfo:
    """The time zone with a name. Raises UnknownTimeZone."""
    if name not in names():
        raise UnknownTimeZone(
            f"{name[:TIME_ZONE_MAX_CHARS]!r} is not a time zone such as Europe/Berlin or Pacific/Auckland."
        )
    return ZoneInfo(name)


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The time (UTC) at which a day begins in a zone. If the clocks skip midnight, the day begins right after the gap;
    if midnight comes twice, it begins with the first."""
    try:
        return datetime.combine(day, time(0), tzinfo=zone).astimezone(UTC)
    except OverflowError:  # the first or last days of the calendar
        return datetime.combine(day, time(0), tzinfo=UTC)
