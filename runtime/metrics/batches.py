"""Batches: how workers apply commands."""

from typing import Final, Literal, get_args

from prometheus_client import Counter, Gauge, Histogram

from domain.model import COMMANDS
from runtime.envelope import DeadLetterCode
from runtime.metrics.closed import BatchHistogram, ClosedCounter, ClosedHistogram
from runtime.records import OUTCOME_STATUSES

ROLES: Final = ("worker",)

Phase = Literal["load", "decide", "write", "commit", "publish"]
"""What a batch does, one after the other."""

UNREADABLE_COMMAND_TYPE: Final = "unreadable"
"""The type under which a command is counted if its own could not be read."""

FINISHED = ClosedCounter("tidegate_commands_finished_total", "Commands with an outcome.", ["type", "status"]).allow(
    type=(*(command_type.__name__ for command_type in COMMANDS), UNREADABLE_COMMAND_TYPE), status=OUTCOME_STATUSES
)
BATCH_COMMANDS = Histogram(
    "tidegate_batch_commands", "Commands of one batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
)
BATCH_SECONDS = Histogram(
    "tidegate_batch_seconds",
    "Time from acquiring a connection to commit.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
BATCH_PHASE_SECONDS = ClosedHistogram(
    "tidegate_batch_phase_seconds",
    "The parts of a batch: load starts when a connection is acquired; a small batch commits with its write; publish "
    "is the wait until the previous batch was published.",
    ["phase"],
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
).allow(phase=get_args(Phase))
EVENT_COUNTER_WAIT_SECONDS = Histogram(
    "tidegate_event_counter_wait_seconds",
    "How long a batch waited for the event counter, the last lock of all; not for small batches, which take it in "
    "their write.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
BATCHES_IN_PROGRESS = Gauge("tidegate_batches_in_progress", "Batches in progress.", multiprocess_mode="livesum")
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
        "row_gone",
        "mailbox_by_mailbox",
        "postgres_refused",
        "connection_lost",
    )
)
DEAD_LETTERS = ClosedCounter(
    "tidegate_dead_letters_total", "Entries that became dead letters, by code.", ["code"]
).allow(code=get_args(DeadLetterCode))
REJOINED = Counter("tidegate_mailboxes_rejoined_total", "Times a mailbox had to be resynchronized with Redis.")
SWEEPS = Counter("tidegate_mailboxes_swept_total", "Mailboxes that the sweep had to wake.")
