"""Processes: which of them live, and what they need of the machine."""

import platform
from importlib.metadata import version
from typing import Final, Literal, get_args

from prometheus_client import PROCESS_COLLECTOR, REGISTRY

from runtime.metrics.closed import ClosedCounter, ClosedGauge, ClosedHistogram

Role = Literal["gateway", "worker", "background", "scheduler"]
"""A line of the Procfile."""

Pool = Literal["views", "replica", "batches", "background", "jobs"]
"""Connections to Postgres: of a gateway, to the primary and the replica; of a worker; and of a background process."""

ROLES: Final = get_args(Role)

_POOLS: Final = get_args(Pool)
_VERSION: Final = version("tidegate")
_PYTHON: Final = platform.python_version()

# The library's own collector has the same names, without a role, and only for this process.
REGISTRY.unregister(PROCESS_COLLECTOR)

HEARTBEAT = ClosedGauge(
    "tidegate_heartbeat_timestamp_seconds",
    "When the longest-silent living process of a role last gave a sign of life: each does so every second while its "
    "event loop runs.",
    ["role"],
    multiprocess_mode="livemin",
).allow(role=ROLES)
PROCESSES = ClosedGauge(
    "tidegate_processes",
    "Living processes of a role, 0 for none; those that hang count.",
    ["role"],
    multiprocess_mode="livesum",
).allow(role=ROLES)
PROCESSES_STOPPING = ClosedGauge(
    "tidegate_processes_stopping",
    "Living processes that have been told to stop and are finishing what they began.",
    ["role"],
    multiprocess_mode="livesum",
).allow(role=ROLES)
BUILD_INFO = ClosedGauge(
    "tidegate_build_info",
    "1 for each version of Tidegate and of Python that runs.",
    ["version", "python"],
    multiprocess_mode="livemax",
).allow(version=[_VERSION], python=[_PYTHON])
START_TIME = ClosedGauge(
    "process_start_time_seconds",
    "When the youngest process of a role started: it changes with every restart.",
    ["role"],
    multiprocess_mode="livemax",
).allow(role=ROLES)
CPU_SECONDS = ClosedCounter(
    "process_cpu_seconds_total", "Processor time of all processes that a role has had.", ["role"]
).allow(role=ROLES)
RESIDENT_MEMORY_BYTES = ClosedGauge(
    "process_resident_memory_bytes",
    "Resident memory of all processes of a role; shared memory counts for each.",
    ["role"],
    multiprocess_mode="livesum",
).allow(role=ROLES)
OPEN_FDS = ClosedGauge(
    "process_open_fds", "Open files of the process of a role that has the most.", ["role"], multiprocess_mode="livemax"
).allow(role=ROLES)
MAX_FDS = ClosedGauge(
    "process_max_fds", "How many open files each process of a role may have.", ["role"], multiprocess_mode="livemin"
).allow(role=ROLES)
LOOP_LAG_SECONDS = ClosedHistogram(
    "tidegate_event_loop_lag_seconds",
    "How late the event loop ran something that was due, sampled ten times a second.",
    ["role"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
).allow(role=ROLES)
POOL_IN_USE = ClosedGauge(
    "tidegate_database_pool_in_use",
    "Connections to Postgres in use, in all processes.",
    ["pool"],
    multiprocess_mode="livesum",
).allow(pool=_POOLS)
POOL_SIZE = ClosedGauge(
    "tidegate_database_pool_size",
    "Maximum number of connections to Postgres, in all processes.",
    ["pool"],
    multiprocess_mode="livesum",
).allow(pool=_POOLS)
POOL_WAITING = ClosedGauge(
    "tidegate_database_pool_waiting",
    "Requests, batches and tasks waiting for a connection to Postgres, in all processes.",
    ["pool"],
    multiprocess_mode="livesum",
).allow(pool=_POOLS)


def tell_build() -> None:
    """Says which version this process runs."""
    BUILD_INFO.labels(_VERSION, _PYTHON).set(1)
