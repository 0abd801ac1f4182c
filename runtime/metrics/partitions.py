"""The log's life: partitions made ahead of time, and where the log begins since older ones were archived."""

from typing import Final

from prometheus_client import Gauge

from runtime.metrics.closed import ClosedGauge

ROLES: Final = ("background",)

LOG_PARTITIONS_AHEAD = ClosedGauge(
    "tidegate_log_partitions_ahead",
    "Partitions of a table that are there before they are needed; without any, the default partition takes what comes.",
    ["table"],
    multiprocess_mode="livemostrecent",
).allow(table=("events", "commands"))
LOG_ARCHIVE_LAG = Gauge(
    "tidegate_log_archive_lag_seconds",
    "For how long the oldest partition of events should have been archived (`TIDEGATE_LOG_ARCHIVE_AFTER_DAYS`), 0 if"
    " none should.",
    multiprocess_mode="livemostrecent",
)
LOG_FIRST_SEQ = Gauge(
    "tidegate_log_first_seq", "The first event that is not archived.", multiprocess_mode="livemostrecent"
)
