"""The patrol: what the log says, verified for ever behind its tail."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import Gauge

from runtime.metrics.closed import ClosedCounter, ClosedGauge

ROLES: Final = ("background",)

VERIFY_SEQ = Gauge(
    "tidegate_verify_seq",
    "The last event that was verified, with the rows it touches.",
    multiprocess_mode="livemostrecent",
)
VERIFY_LAG_EVENTS = Gauge(
    "tidegate_verify_lag_events", "Events still to be verified.", multiprocess_mode="livemostrecent"
)
VERIFY_LAG_SECONDS = Gauge(
    "tidegate_verify_lag_seconds",
    "Age of the oldest event still to be verified.",
    multiprocess_mode="livemostrecent",
)
VERIFY_ROUND_TIMESTAMP = Gauge(
    "tidegate_verify_round_timestamp_seconds",
    "When the last round of verification ended, or the process began to verify, in Unix time.",
    multiprocess_mode="livemostrecent",
)
VERIFY_DIFFERENCES = ClosedGauge(
    "tidegate_verify_differences",
    "Rows that differ from the log now, by table; must be 0.",
    ["table"],
    multiprocess_mode="livemostrecent",
)
VERIFY_DIFFERENCES_FOUND = ClosedCounter(
    "tidegate_verify_differences_found_total",
    "Differences found, by table; the log of the process names each.",
    ["table"],
)
VERIFY_WRITTEN_BY_HAND = ClosedCounter(
    "tidegate_verify_written_by_hand_total",
    "Rows checked because they were not written by a batch, by table.",
    ["table"],
)


def allow_tables(tables: Iterable[str]) -> None:
    """Allows tables as values of the label `table`."""
    for metric in (VERIFY_DIFFERENCES, VERIFY_DIFFERENCES_FOUND, VERIFY_WRITTEN_BY_HAND):
        metric.allow(table=tables)
