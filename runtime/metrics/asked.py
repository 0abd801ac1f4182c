"""Backlogs: what Redis and Postgres say at the moment of a scrape."""

from typing import Final

from runtime.metrics.closed import Asked

ROLES: Final = ("the scrape",)

REDIS_UP: Final = Asked("tidegate_redis_up", "Whether Redis answered this scrape, every node of a cluster.")
MAILBOX_COMMANDS: Final = Asked("tidegate_mailbox_commands", "Commands waiting, by mailbox.", ("mailbox",))
MAILBOX_OLDEST_SECONDS: Final = Asked(
    "tidegate_mailbox_oldest_seconds", "Age of the oldest waiting command, 0 for none.", ("mailbox",)
)
MAILBOX_BYTES: Final = Asked(
    "tidegate_mailbox_bytes", "Estimated memory of the waiting commands in Redis, by mailbox.", ("mailbox",)
)
MAILBOX_MAX_COMMANDS: Final = Asked(
    "tidegate_mailbox_max_commands", "Commands that may wait in one mailbox (`TIDEGATE_MAILBOX_MAX_COMMANDS`)."
)
MAILBOX_MAX_BYTES: Final = Asked(
    "tidegate_mailbox_max_bytes", "Memory that the commands of one mailbox may take (`TIDEGATE_MAILBOX_MAX_BYTES`)."
)
REDIS_MEMORY_BYTES: Final = Asked(
    "tidegate_redis_memory_bytes", "Memory that Redis uses; in a cluster, its fullest node."
)
REDIS_MEMORY_MAX_BYTES: Final = Asked(
    "tidegate_redis_memory_max_bytes", "Memory that Redis may use (`maxmemory`), 0 for no limit."
)
REDIS_DELAYED_FSYNCS: Final = Asked(
    "tidegate_redis_delayed_fsyncs_total",
    "Times that Redis, and all writers with it, had to wait for its disk.",
    type="counter",
)
REACTION_LAG_EVENTS: Final = Asked(
    "tidegate_reaction_lag_events", "Events of the log that a reaction has not passed yet.", ("reaction",)
)
REACTION_LAG_SECONDS: Final = Asked(
    "tidegate_reaction_lag_seconds",
    "Since when a reaction could have handled the first event that it has not passed yet.",
    ("reaction",),
)
REACTION_FAILING: Final = Asked(
    "tidegate_reaction_failing", "Failed attempts at the event that a reaction is at.", ("reaction",)
)
TASKS: Final = Asked("tidegate_tasks", "Tasks that are not done, by state.", ("kind", "state"))
TASKS_DUE: Final = Asked("tidegate_tasks_due", "Queued tasks that are due and can be taken.", ("kind",))
HOLDS_OVERDUE: Final = Asked(
    "tidegate_holds_overdue",
    "Orders overdue to expire, among the oldest thousand that expiry has not passed yet.",
)
TASK_OLDEST_DUE_SECONDS: Final = Asked(
    "tidegate_task_oldest_due_seconds",
    "How long the oldest task that can be taken has been due, 0 for none.",
    ("kind",),
)
