"""Tasks: written with their event, done once whatever happens to those who do them, in order for one subject, side by
side for different ones; what fails too often is dead until staff have it tried again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from domain import tasks as domain_tasks
from domain.jobs import FinishJob, RequestJob
from domain.model import Command
from domain.stock import ReceiveStock, StockReceived
from domain.tasks import NewTask, RetryTask, task_id
from ops.verify import verify
from tests import pace
from tests.integration.background import Background, background, until
from tests.integration.shopfloor import STAFF, Shopfloor
from workers.failures import Away
from workers.leases import LeaseLost
from workers.tasks import kinds, queue
from workers.tasks.dispatcher import Dispatcher
from workers.tasks.kinds import CALLS, Kind, TaskTools
from workers.tasks.performing import TASKS_ACTOR
from workers.tasks.queue import Task

_Do = Callable[[Task, TaskTools], Awaitable[Command | None]]

KIND = "restock"


@pytest.fixture
async def tasks(floor: Shopfloor) -> AsyncIterator[Background]:
    async with background(floor, task_lease_seconds=30, task_attempts_max=3) as running:
        await floor.fill(TEA=1, MUG=1, CUP=1)
        yield running


class Kinds:
    """A kind of task that only this test knows: it follows from every receipt of stock, for the SKU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.schedule(lambda event: (NewTask(KIND, event.sku, {"quantity": event.quantity}),))

    def schedule(self, scheduler: Callable[[StockReceived], Sequence[NewTask]]) -> None:
        self._monkeypatch.setitem(domain_tasks._SCHEDULERS, StockReceived, scheduler)  # type: ignore[misc]

    def do(self, perform: _Do) -> None:
        self._monkeypatch.setitem(kinds.KINDS, KIND, Kind(KIND, perform, CALLS, None))


@pytest.fixture
def kind(tasks: Background, monkeypatch: pytest.MonkeyPatch) -> Kinds:
    return Kinds(monkeypatch)


async def _receive(tasks: Background, *skus: str) -> list[UUID]:
    """Has a task written for each of the SKUs, in this order; returns their commands."""
    posted = []
    for number, sku in enumerate(skus, start=1):
        posted.append(await tasks.floor.post(ReceiveStock(sku, number), actor=STAFF))
        await tasks.floor.drain()
    await until(lambda: _recorded(tasks, posted))
    return posted


async def _recorded(tasks: Background, command_ids: Sequence[UUID]) -> bool:
    query = "SELECT count(*) FROM commands WHERE id = ANY($1::uuid[])"
    return bool(await tasks.pool.fetchval(query, command_ids) == len(command_ids))


async def _rows(tasks: Background) -> list[asyncpg.Record]:
    rows: list[asyncpg.Record] = await tasks.pool.fetch("SELECT * FROM tasks ORDER BY created_seq, id")
    return rows


async def test_a_batch_writes_its_tasks_with_its_events(tasks: Background, kind: Kinds) -> None:
    first, second = await _receive(tasks, "TEA", "MUG")
    rows = await _rows(tasks)
    said = [(row["id"].int, row["kind"], row["subject"], json.loads(row["payload"]), row["blocked"]) for row in rows]
    assert said == [
        (task_id(first, 0).int, KIND, "TEA", {"quantity": 1}, False),
        (task_id(second, 0).int, KIND, "MUG", {"quantity": 2}, False),
    ]
    events = await tasks.pool.fetch("SELECT seq FROM events WHERE type = 'stock.received' ORDER BY seq DESC LIMIT 2")
    assert [row["created_seq"] for row in rows] == [row["seq"] for row in reversed(events)]
    assert (await tasks.floor.verified())["tasks"] == 2


async def test_the_tasks_of_one_event_and_of_one_batch_keep_their_order(tasks: Background, kind: Kinds) -> None:
    kind.schedule(lambda event: tuple(NewTask(KIND, "same", {"n": number}) for number in range(3)))
    await tasks.floor.post_all([ReceiveStock("TEA", 1), ReceiveStock("TEA", 2)], actor=STAFF)
    await tasks.floor.drain()

    async def written() -> bool:
        return len(await _rows(tasks)) == 6

    await until(written)
    rows = await _rows(tasks)
    assert [json.loads(row["payload"])["n"] for row in rows] == [0, 1, 2, 0, 1, 2]
    assert [row["blocked"] for row in rows] == [False] + [True] * 5
    await tasks.floor.verified()


async def test_a_payload_may_hold_whatever_json_can_say(tasks: Background, kind: Kinds) -> None:
    kind.schedule(lambda event: (NewTask(KIND, event.sku, {"pair": (1, 2), "id": UUID(int=1), "none": None}),))
    await _receive(tasks, "TEA")
    (row,) = await _rows(tasks)
    assert json.loads(row["payload"]) == {"pair": [1, 2], "id": str(UUID(int=1)), "none": None}
    await tasks.floor.verified()


async def test_a_task_is_done_once_and_is_gone(tasks: Background, kind: Kinds) -> None:
    done: list[str] = []

    async def note(task: Task, tools: TaskTools) -> None:
        done.append(task.subject)

    kind.do(note)
    await _receive(tasks, "TEA", "MUG", "CUP")
    begun = await asyncio.gather(*(tasks.run_due(CALLS) for _ in range(4)))
    assert sum(begun) == 3
    assert sorted(done) == ["CUP", "MUG", "TEA"]
    assert await _rows(tasks) == []
    await tasks.floor.verified()


async def test_its_result_is_a_command_with_its_id_as_key_and_the_first_one_stands(
    tasks: Background, kind: Kinds
) -> None:
    """A process is killed after it posted the result, and before the task was removed."""
    calls: list[int] = []

    async def count(task: Task, tools: TaskTools) -> Command:
        calls.append(task.run)
        return ReceiveStock("MUG", 10)

    kind.do(count)
    await _receive(tasks, "TEA")
    (dead,) = await tasks.queue.claim([KIND], 1)
    kind.schedule(lambda event: ())  # the result leads to no further task
    posted = await tasks.floor.post(ReceiveStock("MUG", 10), actor=TASKS_ACTOR, key=str(dead.id), fingerprint=b"")
    await until(lambda: _recorded(tasks, [posted]))
    await tasks.expire_leases()
    assert await tasks.run_due(CALLS) == 1
    assert calls == [], "what was told already is not done again"
    assert (await tasks.floor.stock("MUG"))[0] == 11
    assert await _rows(tasks) == []


async def test_a_result_that_two_runs_tell_counts_once(tasks: Background, kind: Kinds) -> None:
    """One run is overtaken while it is at work, and both come to an end."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(task: Task, tools: TaskTools) -> Command:
        begun.set()
        await go_on.wait()
        return ReceiveStock("MUG", 10)

    kind.do(slow)
    await _receive(tasks, "TEA")
    kind.schedule(lambda event: ())
    overtaken = asyncio.create_task(tasks.run_due(CALLS))
    await begun.wait()
    begun.clear()
    await tasks.expire_leases()
    other = asyncio.create_task(tasks.run_due(CALLS))
    await begun.wait()
    go_on.set()
    await asyncio.gather(overtaken, other)
    assert (await tasks.floor.stock("MUG"))[0] == 11
    assert await _rows(tasks) == []
    told = await tasks.pool.fetch("SELECT status FROM commands WHERE principal = $1", TASKS_ACTOR.principal)
    assert sorted(row["status"] for row in told) in (["applied"], ["applied", "repeated"])


async def test_a_task_that_somebody_else_is_just_taking_is_not_waited_for(tasks: Background, kind: Kinds) -> None:
    await _receive(tasks, "TEA", "MUG")
    async with tasks.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM tasks WHERE subject = 'TEA' FOR UPDATE")
        async with asyncio.timeout(pace.seconds(10)):
            assert [task.subject for task in await tasks.queue.claim([KIND], 2)] == ["MUG"]
    assert [task.subject for task in await tasks.queue.claim([KIND], 2)] == ["TEA"]


async def test_what_was_overtaken_changes_nothing_more(tasks: Background, kind: Kinds) -> None:
    await _receive(tasks, "TEA")
    (slow,) = await tasks.queue.claim([KIND], 1)
    assert await tasks.queue.claim([KIND], 1) == [], "it is taken while the lease runs"
    await tasks.expire_leases()
    (quick,) = await tasks.queue.claim([KIND], 1)
    for step in (
        tasks.queue.finish(slow),
        tasks.queue.retry_later(slow, "x", after_seconds=0, attempted=True),
        tasks.queue.die(slow, "x"),
        tasks.queue.headway(slow),
    ):
        with pytest.raises(LeaseLost):
            await step
    (row,) = await _rows(tasks)
    assert (row["lease_token"], row["runs"], row["attempts"], row["last_error"]) == (quick.token, 2, 2, None)


async def test_a_task_that_always_raises_is_dead_until_it_is_retried(tasks: Background, kind: Kinds) -> None:
    broken = True

    async def perform(task: Task, tools: TaskTools) -> Command | None:
        if broken:
            raise RuntimeError("the receiver is broken")
        return None

    kind.do(perform)
    await _receive(tasks, "TEA")
    for attempt in range(1, 4):
        assert await tasks.run_due(CALLS) == 1
        assert await tasks.run_due(CALLS) == 0, "it waits for its next attempt, or is dead"
        (row,) = await _rows(tasks)
        assert (row["attempts"], row["last_error"]) == (attempt, "RuntimeError: the receiver is broken")
        await tasks.make_due()
    assert row["state"] == "dead"
    assert await tasks.run_due(CALLS) == 0

    await tasks.floor.post(RetryTask(UUID(int=row["id"].int), KIND, "TEA"), actor=STAFF)

    async def queued() -> bool:
        return bool((await _rows(tasks))[0]["state"] == "queued")

    await until(queued)
    (row,) = await _rows(tasks)
    assert row["attempts"] == 0
    broken = False
    assert await tasks.run_due(CALLS) == 1
    assert await _rows(tasks) == []
    retried = await tasks.pool.fetchval("SELECT actor FROM events WHERE type = 'task.retried'")
    assert retried == STAFF.principal
    await tasks.floor.verified()


async def test_what_is_nobodys_fault_is_not_counted_but_tried_less_and_less(tasks: Background, kind: Kinds) -> None:
    attempts: list[int] = []

    async def away(task: Task, tools: TaskTools) -> None:
        attempts.append(task.attempts)
        if len(attempts) < 6:
            raise Away("the receiver is away")

    kind.do(away)
    await _receive(tasks, "TEA")
    waits = []
    for _ in range(6):
        await tasks.run_due(CALLS)
        waits += [row["due_at"] - row["updated_at"] for row in await _rows(tasks)]
        await tasks.make_due()
    assert attempts == [1] * 6
    assert waits[0] <= timedelta(seconds=1)
    assert waits[4] >= timedelta(seconds=8)
    assert await _rows(tasks) == []


async def test_a_process_that_dies_with_it_each_time_does_not_do_so_for_ever(tasks: Background, kind: Kinds) -> None:
    async def never(task: Task, tools: TaskTools) -> None:
        raise AssertionError("it was begun often enough")

    kind.do(never)
    await _receive(tasks, "TEA")
    for _ in range(3):
        await tasks.queue.claim([KIND], 1)
        await tasks.expire_leases()
    assert await tasks.run_due(CALLS) == 1
    (row,) = await _rows(tasks)
    assert (row["state"], row["last_error"]) == ("dead", "TriedTooOften: 3 runs ended without a trace")


async def test_a_dead_letter_of_a_result_is_told_anew_when_it_is_retried(tasks: Background, kind: Kinds) -> None:
    job_id = await tasks.request("report", {})

    async def perform(task: Task, tools: TaskTools) -> Command:
        # A rule that raises: the job's id is taken.
        return FinishJob(job_id, "succeeded", 1, {}) if task.run > 3 else RequestJob(job_id, "report", {})

    kind.do(perform)
    await _receive(tasks, "TEA")
    for _ in range(3):
        await tasks.run_due(CALLS)
        await tasks.make_due()
    row = await tasks.task("TEA")
    assert row is not None
    assert row["state"] == "dead"
    assert row["last_error"].startswith("ResultFailed: rule_raised")
    await tasks.pool.execute("UPDATE tasks SET state = 'queued', attempts = 0")
    await tasks.run_due(CALLS)
    assert await tasks.task("TEA") is None
    assert await tasks.finishes(job_id) == 1
    await tasks.floor.verified()


async def test_the_tasks_of_one_subject_are_done_in_order_and_others_side_by_side(
    tasks: Background, kind: Kinds
) -> None:
    running: dict[str, int] = {}
    together = 0
    done: dict[str, list[int]] = {}

    async def perform(task: Task, tools: TaskTools) -> None:
        nonlocal together
        running[task.subject] = running.get(task.subject, 0) + 1
        assert running[task.subject] == 1, "two tasks of one subject at a time"
        together = max(together, sum(running.values()))
        await asyncio.sleep(0.002)
        done.setdefault(task.subject, []).append(task.payload["quantity"])
        running[task.subject] -= 1

    kind.do(perform)
    await tasks.floor.post_all(
        [ReceiveStock(sku, number) for number in range(1, 21) for sku in ("TEA", "MUG", "CUP")], actor=STAFF
    )
    await tasks.floor.drain()

    async def written() -> bool:
        return len(await _rows(tasks)) == 60

    await until(written)
    lanes = [tasks.lane(CALLS, size=8) for _ in range(3)]
    for lane in lanes:
        lane.start()
        lane.want()

    async def all_done() -> bool:
        return not await _rows(tasks)

    try:
        await until(all_done)
    finally:
        for lane in lanes:
            await lane.stop()
    assert done == {sku: list(range(1, 21)) for sku in ("TEA", "MUG", "CUP")}
    assert together > 1
    await tasks.floor.verified()


@pytest.mark.parametrize("state", ["dead", "backing off"])
async def test_one_that_cannot_be_done_holds_up_its_own_subject_only(
    tasks: Background, kind: Kinds, state: str
) -> None:
    done: list[tuple[str, int]] = []

    async def perform(task: Task, tools: TaskTools) -> None:
        if (task.subject, task.payload["quantity"]) == ("TEA", 1):
            raise RuntimeError("not this one")
        done.append((task.subject, task.payload["quantity"]))

    kind.do(perform)
    await _receive(tasks, "TEA", "TEA", "MUG")
    for _ in range(3 if state == "dead" else 1):
        await tasks.run_due(CALLS)
        if state == "dead":
            await tasks.make_due()
    await tasks.run_due(CALLS)
    assert done == [("MUG", 3)]
    assert [row["state"] for row in await _rows(tasks)] == ["dead" if state == "dead" else "queued", "queued"]


async def test_a_task_that_nobody_unblocked_is_found(tasks: Background, kind: Kinds) -> None:
    """The one before it was finished while it was being written, and neither saw the other."""

    async def perform(task: Task, tools: TaskTools) -> None:
        """Does nothing."""

    kind.do(perform)
    await _receive(tasks, "TEA", "TEA", "TEA")
    first = (await _rows(tasks))[0]
    await tasks.pool.execute("DELETE FROM tasks WHERE id = $1", first["id"])
    assert await tasks.run_due(CALLS) == 0
    assert await tasks.queue.unblock() == 1
    assert await tasks.queue.unblock() == 0
    assert [row["blocked"] for row in await _rows(tasks)] == [False, True]
    dispatcher = Dispatcher([tasks.lane(CALLS)])
    dispatcher.start()
    await dispatcher.tend()

    async def all_done() -> bool:
        return not await _rows(tasks)

    try:
        await until(all_done)
    finally:
        await dispatcher.stop()


async def test_it_is_not_run_before_it_is_due(tasks: Background, kind: Kinds) -> None:
    async def perform(task: Task, tools: TaskTools) -> None:
        """Does nothing."""

    kind.do(perform)
    kind.schedule(lambda event: (NewTask(KIND, event.sku, {}, after_seconds=3_600),))
    await _receive(tasks, "TEA")
    assert await tasks.run_due(CALLS) == 0
    await tasks.make_due()
    assert await tasks.run_due(CALLS) == 1


async def test_a_look_survives_what_postgres_refuses(
    tasks: Background, kind: Kinds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, a statement that is cancelled: the lane looks again later."""
    refusals: list[Exception] = [asyncpg.DiskFullError(), asyncpg.QueryCanceledError(), OSError()]
    lane = tasks.lane(CALLS)
    claim = lane._performer.queue.claim

    async def refused(names: Sequence[str], limit: int) -> list[Task]:
        if refusals:
            raise refusals.pop()
        return await claim(names, limit)

    async def perform(task: Task, tools: TaskTools) -> None:
        """Does nothing."""

    kind.do(perform)
    monkeypatch.setattr(lane._performer.queue, "claim", refused)
    await _receive(tasks, "TEA")
    lane.start()

    async def done() -> bool:
        lane.want()
        return not await _rows(tasks)

    try:
        await until(done)
    finally:
        await lane.stop()
    assert not refusals


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE tasks SET created_seq = 999999", "its event does not exist"),
        ("UPDATE tasks SET created_seq = 1", "does not match its event"),
        ("UPDATE tasks SET subject = 'CUP'", "does not match its event"),
        ("UPDATE tasks SET payload = '{}'", "does not match its event"),
        ("UPDATE tasks SET id = gen_random_uuid()", "does not have the id that follows from its command"),
        ("UPDATE tasks SET blocked = false", "may be run before an earlier one of its subject"),
    ],
)
async def test_verify_sees_a_task_that_does_not_follow_from_its_event(
    tasks: Background, kind: Kinds, statement: str, problem: str
) -> None:
    await _receive(tasks, "TEA", "TEA")
    await tasks.floor.verified()
    await tasks.pool.execute(statement)
    report = await verify(tasks.floor.database_url, tasks.floor.redis_url, mailbox_count=tasks.floor.mailbox_count)
    assert problem in {difference["problem"] for difference in report.differences}


async def test_verify_sees_a_job_that_nobody_will_run(tasks: Background) -> None:
    job_id = await tasks.request("report", {})
    await tasks.floor.verified()
    await tasks.pool.execute("DELETE FROM tasks")
    report = await verify(tasks.floor.database_url, tasks.floor.redis_url, mailbox_count=tasks.floor.mailbox_count)
    (difference,) = report.differences
    assert (difference["subject"], difference["problem"]) == (
        str(job_id),
        "an unfinished job has no task",
    )
    await tasks.floor.post(FinishJob(job_id, "succeeded", 1, {}), actor=STAFF)


_SUBJECTS = 25_000
_OF_ONE_SUBJECT = 50_000


async def test_what_is_due_is_found_on_an_index_among_a_hundred_thousand(tasks: Background, kind: Kinds) -> None:
    """Half of them for subjects of their own and due later, half behind one that is dead."""
    await tasks.pool.execute(
        f"""
        INSERT INTO tasks (id, kind, subject, payload, created_seq, state, blocked, due_at, created_at, updated_at)
        SELECT gen_random_uuid(), '{KIND}', CASE WHEN n <= {_OF_ONE_SUBJECT} THEN 'one' ELSE n::text END, '{{}}', n,
            CASE WHEN n = 1 THEN 'dead' ELSE 'queued' END, n BETWEEN 2 AND {_OF_ONE_SUBJECT},
            now() + CASE WHEN n <= {_OF_ONE_SUBJECT + _SUBJECTS} THEN 0 ELSE 1 END * interval '1 hour', now(), now()
        FROM generate_series(1, {_OF_ONE_SUBJECT + 2 * _SUBJECTS}) AS n
        """
    )
    await tasks.pool.execute("ANALYZE tasks")
    plans = {
        "claim": (queue._CLAIM, ([KIND], 32, 30.0)),
        "finish": (queue._FINISH, (task_id(UUID(int=1), 0), UUID(int=1))),
    }
    for name, (statement, arguments) in plans.items():
        async with tasks.pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            rows = await connection.fetch(f"EXPLAIN {statement}", *arguments)
            plan = "\n".join(row[0] for row in rows)
            assert "Seq Scan on tasks" not in plan, f"{name}:\n{plan}"
            assert "Index" in plan, f"{name}:\n{plan}"
    claimed = await tasks.queue.claim([KIND], 32)
    assert len(claimed) == 32
    assert "one" not in {task.subject for task in claimed}
    assert await tasks.queue.unblock() == 0
