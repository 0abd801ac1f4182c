"""A small Tidegate on a stage: workers, gateways, background processes and subscribers, made of the real code, on a
real Postgres and Redis. A seed decides what clients ask for, what comes first, and what breaks between any two awaits.

Then what was lost stays lost, the sweep finishes the rest, `verify` must be clean, the auditor must arrive at the same
shop, and every subscriber must have seen the log.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from random import Random
from typing import Any, Final
from unittest.mock import patch

import asyncpg

from ops.verify import verify
from runtime.database import asyncpg_dsn
from runtime.settings import Settings
from tests.chaos.inside import clock
from tests.integration.shopfloor import Shopfloor
from tests.simulation.auditor import Auditor
from tests.simulation.calls import Calls
from tests.simulation.clients import PRICES
from tests.simulation.fleet import Fleet
from tests.simulation.follower import Followed, is_level
from tests.simulation.names import Name, Names
from tests.simulation.posting import Posting
from tests.simulation.processes import GatewayProcess, spared
from tests.simulation.redis_time import RedisTime, ids_in_order
from tests.simulation.server import Server
from tests.simulation.stage import Stage
from tests.simulation.subscribers import Subscriber
from tests.simulation.supplier import Supplier
from tests.simulation.trouble import Trouble
from tests.simulation.wires import strung
from workers import batch, loading, runs
from workers.runs import AT_ONCE_MAX_COMMANDS

STEPS: Final = 40

_MAILBOX_MAX_COMMANDS: Final = 60
_AWAKE_SECONDS: Final = 0.3
_STEP_SECONDS: Final = 0.05
_RECOVERY_MAX_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.05

# Who ends an overdue batch goes by Postgres's own time; here, trouble ends what a stopped process holds.
_BATCH_MAX_SECONDS: Final = 100_000.0
# Whoever lingers for long is at work all the time, whatever happens to the servers meanwhile.
_LINGERS_MILLISECONDS: Final = (2, 1_000)

_SUBSCRIBERS: Final = 3
_SUBSCRIBERS_MAX: Final = 8

# Postgres goes by its own time there: so little that nobody else comes in between.
_GIVES_WAY_AFTER: Final = "5ms"


class World:
    """One run of one seed. `happened` counts what it did, for people to read; `digest` stands for all of it."""

    def __init__(self, seed: int, database_url: str, redis_url: str, tell: Callable[[str], None] | None = None) -> None:
        """`tell` gets everything that happens, as lines of text."""
        self.happened: Counter[str] = Counter()
        self.digest = ""
        self._seed = seed
        self._database_url = database_url
        self._redis_url = redis_url
        self._tell = tell
        self._random = random = Random(seed)
        self._mailbox_count = random.randint(1, 8)
        self._config = self._settings()
        self._at_once_max_commands = random.choice([0, AT_ONCE_MAX_COMMANDS])
        self._names = Names()
        self._calls = Calls()
        self._supplier = Supplier(random, self._calls)
        self._followed = Followed(random, self._calls)
        self._subscribers: list[Subscriber] = []
        self._stage: Stage
        self._fleet: Fleet
        self._posting: Posting
        self._trouble: Trouble

    def run(self, steps: int = STEPS) -> None:
        """Takes this many steps, recovers, and is audited. Raises AssertionError if anything is wrong."""
        with ExitStack() as stack:
            self._server = stack.enter_context(Server(self._database_url))
            self._redis_time = stack.enter_context(RedisTime(self._redis_url, _AWAKE_SECONDS))
            stack.enter_context(self._supplier.known())
            self._set()
            stack.callback(self._count)
            with self._spoiled():
                self._stage.run(self._live(steps))
            asyncio.run(self._judge())

    def _settings(self) -> Settings:
        changed = {
            "database_url": self._database_url,
            "redis_url": self._redis_url,
            "mailbox_count": self._mailbox_count,
            "mailbox_max_commands": _MAILBOX_MAX_COMMANDS,
            "batch_max_commands": self._random.choice([1, 3, 16, 64]),
            "batch_max_seconds": _BATCH_MAX_SECONDS,
            "awake_milliseconds": int(_AWAKE_SECONDS * 1_000),
            "linger_milliseconds": self._random.choice(_LINGERS_MILLISECONDS),
            "silence_seconds": 0.2,
            "task_lease_seconds": 1.0,
            "reaction_lease_seconds": 1.0,
            "reaction_retry_max_seconds": 2.0,
            "task_attempts_max": 1_000,
            "task_retry_max_seconds": 2.0,
            "task_concurrency": self._random.choice([1, 4]),
        }
        return Settings.model_construct(**{**Settings().model_dump(), **changed})

    def _set(self) -> None:
        """Sets the stage."""
        floor = Shopfloor(self._database_url, self._redis_url, mailbox_count=self._mailbox_count)
        self._stage = Stage(self._seed, self._server, self._tell)
        self._fleet = Fleet(self._random, self._stage, self._redis_time, self._config, self._followed)
        self._posting = Posting(self._random, floor, self._fleet, self._redis_time)
        self._trouble = Trouble(self._random, self._stage, self._server, self)
        self._stage.director = self._trouble

    def _spoiled(self) -> ExitStack:
        """What is not real."""
        stack = ExitStack()
        stack.enter_context(patch.object(runs, "AT_ONCE_MAX_COMMANDS", self._at_once_max_commands))
        stack.enter_context(patch.object(loading, "_GIVE_WAY", loading._GIVE_WAY.replace("50ms", _GIVES_WAY_AFTER)))
        stack.enter_context(patch.object(batch, "datetime", clock.Datetime))
        stack.enter_context(spared())
        stack.enter_context(ids_in_order())
        stack.enter_context(strung(self._stage, self._fleet))
        return stack

    def _count(self) -> None:
        self.digest = self._stage.digest
        self.happened["turns"] += self._stage.turns
        parts = self._fleet, self._posting, self._trouble, self._supplier, self._followed
        for counter in [part.happened for part in parts] + [each.happened for each in self._subscribers]:
            self.happened.update(counter)

    # What happens.

    async def _live(self, steps: int) -> None:
        living = asyncio.create_task(self._fleet.live())
        await self._open()
        actions: list[tuple[int, Callable[[], None]]] = [
            (12, self._posting.post),
            (2, self._posting.rush),
            (2, self._cut_off),
            (1, self._one_more_subscribes),
            (1, self._posting.post_again),
            (1, self._posting.put_garbage),
        ]
        weights = [weight for weight, _ in actions]
        self._trouble.begin()
        for _ in range(steps):
            ((_, action),) = self._random.choices(actions, weights)
            self.happened[action.__name__.strip("_").replace("_", " ")] += 1
            action()
            await asyncio.sleep(self._random.expovariate(1 / _STEP_SECONDS))
        self._trouble.end()
        self._fleet.is_calm = True
        await self._until(self._is_all_done, "everything is done")
        living.cancel()

    async def _open(self) -> None:
        """Lists the products before anything can go wrong, and receives goods when it may."""
        await self._until(lambda: self._fleet.living(GatewayProcess), "there is a gateway")
        self._posting.post_all(self._posting.clients.first_listings())
        await self._until(self._is_all_applied, "the products are listed")
        self._posting.post_all(self._posting.clients.first_goods())
        for _ in range(_SUBSCRIBERS):
            self._subscribe(self._random.choice([0, 2]))

    def _subscribe(self, after: int, log: str | None = None) -> None:
        subscriber = Subscriber(self._stage, len(self._subscribers) + 1, self._fleet)
        self._subscribers.append(subscriber)
        subscriber.begin(after, log)

    def _one_more_subscribes(self) -> None:
        """From anywhere in the log, as with a seq passed on by somebody else, perhaps with the log's identity."""
        if len(self._subscribers) < _SUBSCRIBERS_MAX:
            told = self._random.choice(self._subscribers)
            self._subscribe(self._random.randint(0, told.seq), self._random.choice([None, told.log]))

    def _cut_off(self) -> None:
        self._random.choice(self._subscribers).cut_off()

    def before_it_is_put_back(self) -> None:
        """Postgres is about to be put back."""
        self._names.read_log(self._server, "before it was put back", self._redis_time.log_heard_of())
        self._calls.era += 1

    def start_again(self, process: Any) -> None:
        self._fleet.start_again(process)

    # The end.

    async def _until(self, holds: Callable[[], object], what: str) -> None:
        until = self._stage.now + _RECOVERY_MAX_SECONDS
        while not holds():
            assert not self._fleet.wrong, self._fleet.wrong
            assert self._stage.now < until, f"not so within {_RECOVERY_MAX_SECONDS} s: {what}; {self._state()}"
            await asyncio.sleep(_POLL_SECONDS)

    def _state(self) -> str:
        waiting = [len(self._redis_time.entries(mailbox)) for mailbox in range(self._mailbox_count)]
        tasks = self._server.fetch("SELECT subject, blocked, due_at, lease_until, attempts, last_error FROM tasks")
        told = [subscriber.name for subscriber in self._subscribers]
        return f"{waiting} commands wait, tasks: {tasks}, the log ends at {self._end_of_log()}, told until {told}"

    def _is_all_applied(self) -> bool:
        waiting = any(self._redis_time.entries(mailbox) for mailbox in range(self._mailbox_count))
        return self._posting.is_answered and not waiting

    def _is_all_done(self) -> bool:
        if not self._is_all_applied() or self._server.fetch("SELECT FROM tasks") or not is_level(self._server):
            return False
        end = self._end_of_log()
        return all(subscriber.name == end for subscriber in self._subscribers)

    def _end_of_log(self) -> Name | None:
        return next(iter(self._names.read_log(self._server, "in the end")[-1:]), None)

    async def _judge(self) -> None:
        wrong = [*self._fleet.wrong, *self._calls.wrong, *self._followed.wrong]
        assert not wrong, wrong
        self._followed.judge(self._server)
        log = self._names.read_log(self._server, "in the end")
        for subscriber in self._subscribers:
            subscriber.judge(self._names, log)
        report = await verify(self._database_url, self._redis_url, mailbox_count=self._mailbox_count)
        assert report.clean, report.differences
        self.happened.update(report.counts)
        connection: asyncpg.Connection[Any] = await asyncpg.connect(asyncpg_dsn(self._database_url))
        try:
            posting, undone = self._posting, self._trouble.undone
            await Auditor(PRICES).audit(connection, posting.asked, posting.garbage, undone)
        finally:
            await connection.close()
