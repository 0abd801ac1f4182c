"""Reactions and tasks: what is done after events."""

from typing import Final

from runtime.metrics.closed import ClosedCounter, ClosedHistogram

ROLES: Final = ("background",)

REACTION_HANDLED = ClosedCounter("tidegate_reaction_handled_total", "Events that reactions have handled.", ["reaction"])
REACTION_FAILURES = ClosedCounter(
    "tidegate_reaction_failures_total", "Failed attempts of reactions to handle an event.", ["reaction"]
)
REACTION_DEAD_LETTERS = ClosedCounter(
    "tidegate_reaction_dead_letters_total", "Events that reactions gave up on.", ["reaction"]
)
WEBHOOK_SECONDS = ClosedHistogram(
    "tidegate_webhook_delivery_seconds",
    "Attempts to deliver an event to a webhook, by outcome.",
    ["result"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
).allow(result=("delivered", "failed"))
MAILS_WITHHELD = ClosedCounter(
    "tidegate_mails_withheld_total", "Mails not sent because a bound was reached, by bound.", ["policy"]
)
TASK_RUNS = ClosedCounter("tidegate_task_runs_total", "Runs of tasks, by outcome.", ["kind", "end"]).allow(
    end=("done", "retried", "given up", "dead", "lost", "broken off", "put off")
)
TASK_SECONDS = ClosedHistogram(
    "tidegate_task_seconds",
    "Duration of a task's run, from lease to end.",
    ["kind"],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600),
)


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
