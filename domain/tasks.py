"""Tasks: what is to be done outside after an event, once: charge a payment, make a report.

`@schedules(JobRequested)` stands beside the event's other rules and says which tasks it leads to. The batch that writes
the event writes them too, in the same transaction (a transactional outbox); `verify` derives them again and compares.
How they are run is not told in the log; only that staff had one tried again is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Final, TypeVar
from uuid import UUID

import msgspec

from domain.ids import milliseconds_of, new_id, slot_of_id
from domain.model import Command, Context, Decision, Event, Shop, decides, evolves

TASK_QUEUED: Final = "queued"
TASK_DEAD: Final = "dead"
TASK_STATES: Final = (TASK_QUEUED, TASK_DEAD)

_NUMBER_BITS: Final = 12


class NewTask(msgspec.Struct, frozen=True, gc=False):
    """Something to be done: `kind` says what, `subject` for what (an order's id, a payment's), `payload` the rest.

    The tasks of one subject are run one at a time, in the order of their events; those of different subjects side by
    side. The payload is JSON-ready and holds ids and numbers, nothing secret or personal. The task is due
    `after_seconds` after its event.
    """

    kind: str
    subject: str
    payload: dict[str, Any] = {}
    after_seconds: float = 0.0


_Scheduler = TypeVar("_Scheduler", bound=Callable[..., Iterable[NewTask]])

_SCHEDULERS: dict[type[Event], Callable[[Any], Iterable[NewTask]]] = {}


def schedules(event_type: type[Event]) -> Callable[[_Scheduler], _Scheduler]:
    """Registers the tasks that an event type leads to: `(event) -> Iterable[NewTask]`."""

    def register(scheduler: _Scheduler) -> _Scheduler:
        assert event_type not in _SCHEDULERS, f"two functions schedule the tasks of {event_type.__name__}"
        _SCHEDULERS[event_type] = scheduler
        return scheduler

    return register


def tasks_of(event: Event) -> Sequence[NewTask]:
    """The tasks that the event leads to, in the order in which those of one subject are to be run."""
    scheduler = _SCHEDULERS.get(type(event))
    return () if scheduler is None else tuple(scheduler(event))


def scheduling_types() -> frozenset[str]:
    """The types of the events that lead to tasks."""
    return frozenset(event_type.type for event_type in _SCHEDULERS)


def task_id(command_id: UUID, number: int) -> UUID:
    """The id of the `number`-th task (from 0) that a command led to: the same whenever it is worked out again. It has
    the command's time and slot; the tasks of one command are in order."""
    assert number < 1 << _NUMBER_BITS, f"a command leads to at most {1 << _NUMBER_BITS} tasks"
    digest = int.from_bytes(hashlib.blake2b(command_id.bytes, digest_size=8).digest())
    return new_id(milliseconds_of(command_id), slot_of_id(command_id), digest << _NUMBER_BITS | number)


def follows_from(task: UUID, command_id: UUID) -> bool:
    """Whether this is the id of one of the command's tasks."""
    return task == task_id(command_id, task.int & (1 << _NUMBER_BITS) - 1)


class RetryTask(Command, frozen=True):
    """Staff have a dead task tried again. One that is not dead (any more) is left alone."""

    task_id: UUID
    kind: str
    subject_id: str

    def slot(self) -> int:
        return slot_of_id(self.task_id)


class TaskRetried(Event, frozen=True):
    type: ClassVar[str] = "task.retried"
    task_id: UUID
    kind: str
    subject_id: str

    def subject(self) -> str:
        return str(self.task_id)


@decides(RetryTask)
def _retry(shop: Shop, command: RetryTask, context: Context) -> Decision:
    return (TaskRetried(command.task_id, command.kind, command.subject_id),)


@evolves(TaskRetried)
def _retried(shop: Shop, event: TaskRetried) -> None:
    """A task is not a part of the shop's state."""
