"""Periods, which include their start and exclude their end."""

from datetime import datetime


def in_period(at: datetime, starts_at: datetime | None, ends_at: datetime | None) -> bool:
    """Whether `at` is in the period; None is unbounded."""
    return (starts_at is None or starts_at <= at) and (ends_at is None or at < ends_at)
