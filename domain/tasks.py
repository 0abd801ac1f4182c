"""Tasks: side effects that an event leads to, each to be carried out once: charge a payment, make a report.

`@schedules(JobRequested)`, next to the event's other rules, registers the tasks that it leads to. The batch that writes
the event also writes its tasks, in the same transaction (a transactional outbox); `verify` derives them again and
compares. Their runs are not in the log, except that staff retried one.
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
    """A task: `kind` says what to do, `subject` to what (the id of an order or a payment), `payload` has the rest.

    Tasks of one subject run one at a time, in the order of their events; those of different subjects run concurrently.
    The payload is JSON-ready and holds only ids and numbers, nothing secret or personal. The task is due
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
    """The tasks that the event leads to; those of one subject in the order in which to run them."""
    scheduler = _SCHEDULERS.get(type(event))
    return () if scheduler is None else tuple(scheduler(event))


def scheduling_types() -> frozenset[str]:
    """The types of the events that lead to tasks."""
    return frozenset(event_type.type for event_type in _SCHEDULERS)


def task_id(command_id: UUID, number: int) -> UUID:
    """The id of the `number`-th task (from 0) that a command leads to; deterministic. It has the command's time and
    slot, and the ids of one command's tasks are in order."""
    assert number < 1 << _NUMBER_BITS, f"a command leads to at most {1 << _NUMBER_BITS} tasks"
    digest = int.from_bytes(hashlib.blake2b(command_id.bytes, digest_size=8).digest())
    return new_id(milliseconds_of(command_id), slot_of_id(command_id), digest << _NUMBER_BITS | number)


def follows_from(task: UUID, command_id: UUID) -> bool:
    """Whether this is the id of one of the command's tasks."""
    return task == task_id(command_id, task.int & (1 << _NUMBER_BITS) - 1)


class RetryTask(Command, frozen=True):
    """Staff retry a dead task. Has no effect on a task that is not (or no longer) dead."""

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
    """Tasks are not part of the shop's state."""
