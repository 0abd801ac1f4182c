"""Periods: from a moment on, and before another."""

from datetime import datetime


def in_period(at: datetime, starts_at: datetime | None, ends_at: datetime | None) -> bool:
    """Whether `at` is in the period: its start is, its end is not; None is no bound."""
    return (starts_at is None or starts_at <= at) and (ends_at is None or at < ends_at)
