"""The bugs. Each is a function that spoils a module of the application, once that has been imported."""

from typing import Any, Final


def position_apart(module: Any) -> None:
    """A mailbox's position is committed by itself, before the effects: a worker that dies in between loses them."""
    original = module.Applier._settle

    async def settle(self: Any, part: Any) -> dict[int, str]:
        reached = {message.mailbox: message.entry.entry_id for message in part.messages}
        for mailbox, position in reached.items():
            await self._pool.execute(
                "UPDATE mailboxes SET position = $1 WHERE mailbox = $2 AND position = $3",
                position,
                mailbox,
                part.held[mailbox],
            )
        done: dict[int, str] = await original(self, part._replace(held={**part.held, **reached}))
        return done

    module.Applier._settle = settle


def no_gap_repair(module: Any) -> None:
    """What the feed brings is handed on, whether or not there is a gap before it."""

    async def deliver(self: Any) -> bool:
        while self._ahead:
            records = self._ahead.popleft()
            if records[-1].seq > self._seq:
                self._seq = records[0].seq - 1
                await self._hand_on(records)
        return False

    module.Tail._deliver_ahead = deliver


def no_ledger_guard(module: Any) -> None:
    """A balance is moved whether or not there still is enough; nor does the database look. Small batches have another
    guard, that nothing at all has moved meanwhile: they are written as large ones are."""
    original = module._guarded

    def guarded(*arguments: Any) -> str:
        statement: str = original(*arguments)
        condition = ">= v.most_taken"
        assert condition in statement
        return statement.replace(condition, "> -1000000000")

    module._guarded = guarded
    module.Balances.unguarded = lambda self, assumptions: None


def no_fence(module: Any) -> None:
    """Workers keep writing to a log that has lost committed events."""
    module.Known.check = lambda self, log: None


def task_twice(module: Any) -> None:
    """Each run of a task reports its result under a key of its own, whether or not one before it has; nor does a job
    look whether it is done already."""
    from domain.jobs import QUEUED
    from workers.jobs import store

    find = store.find

    class Pool:
        def __init__(self, pool: Any) -> None:
            self._pool = pool

        async def fetchrow(self, query: str, *arguments: Any) -> Any:
            condition = f" AND j.status = '{QUEUED}'"
            assert condition in query
            return await self._pool.fetchrow(query.replace(condition, ""), *arguments)

    async def find_anyway(pool: Any, job_id: Any, task: Any) -> Any:
        return await find(Pool(pool), job_id, task)

    async def unused_key(self: Any, task: Any) -> str:
        return f"{task.id}:{task.run}"

    store.find = find_anyway
    module.Performer._unused_key = unused_key


def reaction_ahead(module: Any) -> None:
    """A reaction's position is moved before its event is handled: what fails is passed over."""
    original = module._Run._call

    async def call(self: Any, records: Any) -> None:
        self._held = await self._positions.move(self._held, records[-1].seq)
        await original(self, records)

    module._Run._call = call


PLACES: Final = {
    "position_apart": ("workers.apply", position_apart),
    "no_gap_repair": ("gateway.realtime.tail", no_gap_repair),
    "no_ledger_guard": ("workers.guarded", no_ledger_guard),
    "no_fence": ("runtime.mailboxes.fence", no_fence),
    "task_twice": ("workers.tasks.performing", task_twice),
    "reaction_ahead": ("workers.reactions.run", reaction_ahead),
}

IN_DATABASE: Final = {"no_ledger_guard": "ALTER TABLE stock DROP CONSTRAINT stock_never_oversold"}
"""What has to be done to the database as well, since it would not let the bug pass."""
