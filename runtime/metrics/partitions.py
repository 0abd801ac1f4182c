"""The log's life: partitions made ahead of time, and where the log begins since older ones were archived."""

from typing import Final

from prometheus_client import Gauge

from runtime.metrics.closed import ClosedGauge

ROLES: Final = ("background",)

LOG_PARTITIONS_AHEAD = ClosedGauge(
    "tidegate_log_partitions_ahead",
    "Partitions of a table made ahead of need; without any, new rows go into the default partition.",
    ["table"],
    multiprocess_mode="livemostrecent",
).allow(table=("events", "commands"))
LOG_ARCHIVE_LAG = Gauge(
    "tidegate_log_archive_lag_seconds",
    "How long archiving the oldest partition of events has been overdue (`TIDEGATE_LOG_ARCHIVE_AFTER_DAYS`), 0 if it "
    "is not.",
    multiprocess_mode="livemostrecent",
)
LOG_FIRST_SEQ = Gauge(
    "tidegate_log_first_seq", "The first event that is not archived.", multiprocess_mode="livemostrecent"
)
