"""Prometheus metrics of all processes on one machine.

With PROMETHEUS_MULTIPROC_DIR set before the first import (as `tidegate up` does), every process keeps its values in
files there, and a scrape of any gateway process returns the sum of all; without it, only its own.

Every label has a closed set of values, given with `allow`; any other value counts as `other`. So nothing that a client
makes up (a method, a path, a code) can create a time series.
"""

import os
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from http import HTTPMethod, HTTPStatus
from pathlib import Path
from typing import Final, Self, get_args

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.values import MultiProcessValue

from domain.model import COMMANDS
from runtime.envelope import DeadLetterCode
from runtime.records import OUTCOME_STATUSES

_MULTIPROCESS: Final = "PROMETHEUS_MULTIPROC_DIR"
_pid = os.getpid()


def _renew_pid() -> None:
    global _pid
    _pid = os.getpid()


if _MULTIPROCESS in os.environ:
    # The library calls getpid for every count, but the process id changes only at a fork.
    os.register_at_fork(after_in_child=_renew_pid)
    values.ValueClass = MultiProcessValue(lambda: _pid)  # type: ignore[no-untyped-call]  # the library has no types here

OTHER: Final = "other"


class _Closed:
    """Restricts a metric's labels to closed sets of values. The metric for each combination of values is an object of
    the same class, made by its constructor, so the sets are kept in an attribute. The library takes longer to find such
    a metric than to count with it, so those whose values are all allowed are remembered."""

    _labelnames: Sequence[str]
    _allowed: tuple[set[str], ...] = ()
    _found: dict[tuple[object, ...], Self] | None = None

    def allow(self, **values: Iterable[str]) -> Self:
        """Adds values that these labels may have."""
        for name, allowed in values.items():
            self._sets()[self._labelnames.index(name)].update(allowed)
        return self

    def allowed(self, name: str) -> frozenset[str]:
        """The values that the label may have."""
        return frozenset({OTHER, *self._sets()[self._labelnames.index(name)]})

    def labels(self, *labelvalues: object, **labelkwargs: object) -> Self:
        """The metric for these values; any that are not allowed count as `other`."""
        if self._found is None:
            self._found = {}
        elif (known := self._found.get(labelvalues)) is not None:
            return known
        values = labelvalues or [labelkwargs[name] for name in self._labelnames]
        pairs = zip(map(str, values), self._sets(), strict=True)
        counted = tuple(value if value in allowed else OTHER for value, allowed in pairs)
        found: Self = super().labels(*counted)  # type: ignore[misc]
        if counted == labelvalues:  # keeps their number within what the sets allow
            self._found[labelvalues] = found
        return found

    def _sets(self) -> tuple[set[str], ...]:
        if not self._allowed:
            self._allowed = tuple(set[str]() for _ in self._labelnames)
        return self._allowed


class ClosedCounter(_Closed, Counter):
    """A counter whose labels have closed sets of values."""


class ClosedHistogram(_Closed, Histogram):
    """A histogram whose labels have closed sets of values."""


_COMMAND_TYPES: Final = frozenset(command_type.__name__ for command_type in COMMANDS)
UNREADABLE_COMMAND_TYPE: Final = "unreadable"
"""The type under which a command is counted if its own could not be read."""

ACCEPTED = ClosedCounter("tidegate_commands_accepted_total", "Commands that are durable in a mailbox.", ["type"]).allow(
    type=_COMMAND_TYPES
)
PROBLEMS = ClosedCounter("tidegate_problems_total", "Requests answered with an error, by its code.", ["code"])
FINISHED = ClosedCounter("tidegate_commands_finished_total", "Commands with an outcome.", ["type", "status"]).allow(
    type=(*_COMMAND_TYPES, UNREADABLE_COMMAND_TYPE), status=OUTCOME_STATUSES
)
BATCH_COMMANDS = Histogram(
    "tidegate_batch_commands", "Commands of one batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
)
BATCH_SECONDS = Histogram(
    "tidegate_batch_seconds",
    "Time from acquiring a connection to commit.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)


class BatchHistogram(Histogram):
    """A histogram that records a batch of observations at once, by bucket instead of one by one."""

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
    "Time from a command's acceptance to the commit of its effects.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300),
)
BATCH_RETRIES = ClosedCounter("tidegate_batch_retries_total", "Batches retried, by reason.", ["reason"]).allow(
    reason=(
        "repeated",
        "bisected",
        "gave_way",
        "balance_moved",
        "guard_moved",
        "log_moved",
        "mailbox_by_mailbox",
        "postgres_refused",
        "connection_lost",
    )
)
DEAD_LETTERS = ClosedCounter(
    "tidegate_dead_letters_total", "Entries that became dead letters, by code.", ["code"]
).allow(code=get_args(DeadLetterCode))
TASK_RUNS = ClosedCounter("tidegate_task_runs_total", "Runs of tasks, by outcome.", ["kind", "end"]).allow(
    end=("done", "retried", "given up", "dead", "lost", "broken off")
)
TASK_SECONDS = ClosedHistogram(
    "tidegate_task_seconds",
    "Duration of a task's run, from lease to end.",
    ["kind"],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600),
)
REJOINED = Counter("tidegate_mailboxes_rejoined_total", "Times a mailbox had to be resynchronized with Redis.")
SWEEPS = Counter("tidegate_mailboxes_swept_total", "Mailboxes that the sweep had to wake.")
WEBHOOK_SECONDS = ClosedHistogram(
    "tidegate_webhook_delivery_seconds",
    "Attempts to deliver an event to a webhook, by outcome.",
    ["result"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
).allow(result=("delivered", "failed"))
REACTION_HANDLED = ClosedCounter("tidegate_reaction_handled_total", "Events that reactions have handled.", ["reaction"])
REACTION_FAILURES = ClosedCounter(
    "tidegate_reaction_failures_total", "Failed attempts of reactions to handle an event.", ["reaction"]
)
REACTION_DEAD_LETTERS = ClosedCounter(
    "tidegate_reaction_dead_letters_total", "Events that reactions gave up on.", ["reaction"]
)
REQUEST_SECONDS = ClosedHistogram(
    "tidegate_http_request_seconds",
    "HTTP requests, by route and status.",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
).allow(method=[method.value for method in HTTPMethod], status=[str(status.value) for status in HTTPStatus])
CATALOGUE_PAGES = Counter(
    "tidegate_catalogue_pages_made_total", "Catalogue pages that gateways had to read from Postgres."
)
ACCEPT_DURABLE = Gauge(
    "tidegate_accept_durable",
    "1: Redis has every accepted command on disk before 202 is sent; 0: its settings are weaker or unknown.",
    multiprocess_mode="livemostrecent",
)
THROTTLED = ClosedCounter("tidegate_throttled_total", "Attempts refused by rate limiting, by policy.", ["policy"])
MAILS_WITHHELD = ClosedCounter(
    "tidegate_mails_withheld_total", "Mails not sent because a bound was reached, by bound.", ["policy"]
)
THROTTLE_BLIND = Counter(
    "tidegate_throttle_blind_total", "Attempts allowed without rate limiting because Redis was unavailable."
)
SOCKETS = Gauge("tidegate_sockets", "Open WebSockets.", multiprocess_mode="livesum")
SOCKETS_REFUSED = ClosedCounter(
    "tidegate_sockets_refused_total", "WebSockets and event streams refused, by bound.", ["bound"]
).allow(bound=("all", "kind", "address", "principal", "unknown"))
CONNECTIONS = Gauge("tidegate_connections", "Open connections of clients.", multiprocess_mode="livesum")
CONNECTIONS_REFUSED = ClosedCounter(
    "tidegate_connections_refused_total", "Connections refused, by bound.", ["bound"]
).allow(bound=("all", "address"))
REQUESTS_TIMED_OUT = ClosedCounter(
    "tidegate_requests_timed_out_total", "Requests that clients did not send in time, by the part awaited.", ["part"]
).allow(part=("head", "body"))
FEED_GAPS = Counter("tidegate_feed_gaps_total", "Times a gateway had to read the log because the feed had a gap.")


def reaction_kind(name: str) -> str:
    """The kind under which a reaction is counted: the part of its name before a colon, the same for all webhooks."""
    return name.partition(":")[0]


def allow_reaction(kind: str) -> None:
    """Allows a kind of reaction as a value of the label `reaction`."""
    for metric in (REACTION_HANDLED, REACTION_FAILURES, REACTION_DEAD_LETTERS):
        metric.allow(reaction=[kind])


def allow_task_kind(kind: str) -> None:
    """A kind of task becomes a value of the label `kind`."""
    TASK_RUNS.allow(kind=[kind])
    TASK_SECONDS.allow(kind=[kind])


def _forget_dead_processes(folder: Path) -> None:
    """Removes the live gauges of processes that have ended; their counters stay."""
    for pid in {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*_*.db")}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]  # the library has no types here
        except PermissionError:
            continue  # alive, but another user's


def registry() -> CollectorRegistry:
    """The registry for a scrape: all processes of the machine, or only this one."""
    if _MULTIPROCESS not in os.environ:
        return REGISTRY
    _forget_dead_processes(Path(os.environ[_MULTIPROCESS]))
    collected = CollectorRegistry()
    MultiProcessCollector(collected)  # type: ignore[no-untyped-call]  # the library has no types here
    return collected
