"""Prometheus metrics of all processes of one machine.

With PROMETHEUS_MULTIPROC_DIR set before the first import (as `tidegate up` does), every process keeps its numbers in
files there and one scrape of the gateway's `/metrics` shows the sum of all; without it, the scraped process's own.
"""

import os
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.values import MultiProcessValue

_MULTIPROCESS: Final = "PROMETHEUS_MULTIPROC_DIR"
_pid = os.getpid()


def _renew_pid() -> None:
    global _pid
    _pid = os.getpid()


if _MULTIPROCESS in os.environ:
    # The library asks the system for the process's id at every count; it changes only at a fork.
    os.register_at_fork(after_in_child=_renew_pid)
    values.ValueClass = MultiProcessValue(lambda: _pid)  # type: ignore[no-untyped-call]  # the library has no types here

ACCEPTED = Counter("tidegate_commands_accepted_total", "Commands that are durable in a mailbox.", ["type"])
PROBLEMS = Counter("tidegate_problems_total", "Requests answered with an error, by its code.", ["code"])
FINISHED = Counter("tidegate_commands_finished_total", "Commands with an outcome.", ["type", "status"])
BATCH_COMMANDS = Histogram(
    "tidegate_batch_commands", "Commands of one batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
)
BATCH_SECONDS = Histogram(
    "tidegate_batch_seconds",
    "From asking for a connection to commit.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)


class BatchHistogram(Histogram):
    """A histogram that takes the observations of a batch at once, bucket by bucket instead of one by one."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """Observes every amount."""
        counts: dict[int, int] = {}
        for amount in amounts:
            bucket = bisect_left(self._upper_bounds, amount)
            counts[bucket] = counts.get(bucket, 0) + 1
        for bucket, count in counts.items():
            self._buckets[bucket].inc(count)
        self._sum.inc(sum(amounts))


ACCEPT_TO_COMMIT_SECONDS = BatchHistogram(
    "tidegate_accept_to_commit_seconds",
    "From a command's acceptance to the commit of its effects.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300),
)
BATCH_RETRIES = Counter("tidegate_batch_retries_total", "Batches tried again, by reason.", ["reason"])
DEAD_LETTERS = Counter("tidegate_dead_letters_total", "Entries put aside, by code.", ["code"])
JOB_RUNS = Counter("tidegate_job_runs_total", "Runs of jobs, by how they ended.", ["kind", "end"])
JOB_SECONDS = Histogram(
    "tidegate_job_seconds",
    "Runs of jobs, from lease to end.",
    ["kind"],
    buckets=(0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600),
)
REJOINED = Counter("tidegate_mailboxes_rejoined_total", "Times a mailbox had to be brought back into step with Redis.")
SWEEPS = Counter("tidegate_mailboxes_swept_total", "Mailboxes that the sweep had to wake.")
WEBHOOK_SECONDS = Histogram(
    "tidegate_webhook_delivery_seconds",
    "Attempts to deliver an event to a webhook, by what came of them.",
    ["result"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
REACTION_HANDLED = Counter("tidegate_reaction_handled_total", "Events that reactions have handled.", ["reaction"])
REACTION_FAILURES = Counter("tidegate_reaction_failures_total", "Tries of an event that failed.", ["reaction"])
REACTION_DEAD_LETTERS = Counter("tidegate_reaction_dead_letters_total", "Events that reactions gave up.", ["reaction"])
REQUEST_SECONDS = Histogram(
    "tidegate_http_request_seconds",
    "HTTP requests, by route and status.",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
CATALOGUE_PAGES = Counter(
    "tidegate_catalogue_pages_made_total", "Pages of the catalogue that gateways had to read from Postgres."
)
ACCEPT_DURABLE = Gauge(
    "tidegate_accept_durable",
    "1: Redis has every accepted command on disk before 202 is sent; 0: its settings are weaker or unknown.",
    multiprocess_mode="livemostrecent",
)
THROTTLED = Counter("tidegate_throttled_total", "Attempts refused because there were too many, by policy.", ["policy"])
THROTTLE_BLIND = Counter(
    "tidegate_throttle_blind_total", "Attempts that were let through uncounted because Redis was away."
)
SOCKETS = Gauge("tidegate_sockets", "Open WebSockets.", multiprocess_mode="livesum")
FEED_GAPS = Counter("tidegate_feed_gaps_total", "Times a gateway had to read the log because the feed had a gap.")


def _forget_dead_processes(folder: Path) -> None:
    """Counters of a process that has ended stay; gauges that count what is alive must not."""
    for pid in {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*_*.db")}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]  # the library has no types here
        except PermissionError:
            continue  # alive, and somebody else's


def registry() -> CollectorRegistry:
    """What a scrape collects from: all processes of the machine, or this one."""
    if _MULTIPROCESS not in os.environ:
        return REGISTRY
    _forget_dead_processes(Path(os.environ[_MULTIPROCESS]))
    collected = CollectorRegistry()
    MultiProcessCollector(collected)  # type: ignore[no-untyped-call]  # the library has no types here
    return collected
