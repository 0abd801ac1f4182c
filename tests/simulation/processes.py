"""The processes of a world: the real parts of workers, gateways and background processes, put together as their own
programs do it. Each lives until it is killed; what it remembers dies with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any, Final
from unittest.mock import patch

from taskiq import TaskiqState

from gateway.identity.caller import Caller
from gateway.realtime import hub
from gateway.realtime.hub import Hub
from gateway.realtime.parts import Parts
from gateway.realtime.places import Places
from gateway.realtime.session import Session
from gateway.realtime.tail import Tail
from gateway.realtime.turns import Turns
from runtime.activation import BACKGROUND, REACT_TASK, ActivationBroker, activate
from runtime.database import create_batch_pool, create_job_pool
from runtime.delivering.registry import DeliveryProviders
from runtime.engine import create_engine
from runtime.mailboxes.fence import confirm
from runtime.mailboxes.post import Claim, Known, Poster
from runtime.mailboxes.sender import Sender
from runtime.payments.registry import Providers
from runtime.redis_client import connect
from runtime.settings import Settings
from runtime.taxing.registry import TaxProviders
from tests.integration.shopfloor import STAFF
from tests.simulation.follower import Followed, Follower
from tests.simulation.turns import Process
from workers import app
from workers.app import Worker
from workers.background import dispatcher
from workers.headlines import Headline
from workers.reactions.core import Fixed, Tools
from workers.reactions.supervisor import Supervisor

_READERS: Final = 4
_FOREVER: Final = float("inf")


@contextmanager
def spared() -> Any:
    """What a process does for the machine and for metrics is left out: several share this one."""

    class Heartbeat:
        def __init__(self, *_: object) -> None: ...
        def start(self) -> None: ...
        def stop(self) -> None: ...

    with (
        patch.object(app, "Heartbeat", Heartbeat),
        patch("runtime.garbage.calm", lambda: None),
        patch.object(hub, "Subscription", _numbered(hub.Subscription)),
    ):
        yield


def _numbered(kind: type[hub.Subscription]) -> type[hub.Subscription]:
    """The same, with numbers for hashes: a set of them has an order that depends on nothing else."""
    numbers = count()

    class Numbered(kind):  # type: ignore[misc, valid-type]
        __slots__ = ("_number",)

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self._number = next(numbers)

        def __hash__(self) -> int:
            return self._number

    return Numbered


class Program:
    """What a process runs."""

    def __init__(self, process: Process, config: Settings, followed: Followed) -> None:
        self.process = process
        self.config = config
        self.followed = followed

    async def start(self) -> None:
        """Returns when it is at work."""
        raise NotImplementedError  # every kind of process has its own


class WorkerProcess(Program):
    """A worker: drains and sweeps when it is asked to."""

    def __init__(self, process: Process, config: Settings, followed: Followed) -> None:
        super().__init__(process, config, followed)
        self._worker = Worker(config, ActivationBroker(config.redis_url))

    async def start(self) -> None:
        await self._worker.start(TaskiqState())

    async def obey(self, task: str, arguments: Sequence[Any]) -> None:
        """Does what an activation asks for."""
        if task.endswith("drain"):
            self._worker.drain(*arguments)
        else:
            await self._worker.sweep()


class BackgroundProcess(Program):
    """A background process: runs tasks and a reaction, as it hears of events and whenever it is asked to tend to
    them."""

    async def start(self) -> None:
        config = self.config
        pool = await create_batch_pool(config.database_url, size=4, batch_max_seconds=config.batch_max_seconds)
        job_pool = await create_job_pool(config.database_url, size=1, job_max_seconds=config.job_max_seconds)
        sender = Sender(config)
        asked = Providers(config), TaxProviders(config), DeliveryProviders(config)
        self._dispatcher = dispatcher(config, pool, job_pool, sender, *asked)
        self._reactions = Supervisor(
            Tools(config, pool, sender),
            ActivationBroker(config.redis_url, BACKGROUND),
            [Fixed(Follower(config, self.followed))],
        )
        await self._reactions.start()
        self._dispatcher.start()

    async def obey(self, task: str, arguments: Sequence[Any]) -> None:
        if task == REACT_TASK:
            await self._reactions.react(*arguments)
        else:
            await self._reactions.tend()
            await self._dispatcher.tend()

    def hear(self, headlines: Sequence[Headline]) -> None:
        """Hears of events on the feed."""
        self._reactions.hear(headlines)
        self._dispatcher.hear(headlines)


class GatewayProcess(Program):
    """A gateway: posts commands, and serves the feed."""

    def __init__(self, process: Process, config: Settings, followed: Followed) -> None:
        super().__init__(process, config, followed)
        engine = create_engine(config.database_url, pool_size=_READERS)
        redis = connect(config.redis_url)
        self.tail = Tail(engine, silence_seconds=config.silence_seconds, confirm=partial(confirm, redis))
        turns = Turns(replays_max=100, replays_max_per_principal=100, events_per_second=1e9)
        self._hub = Hub(engine, self.tail, turns)
        unused: Any = None
        self._parts = Parts(config, engine, unused, self.tail, self._hub, unused, Places(config))
        self._broker = ActivationBroker(config.redis_url)
        self._poster = Poster(
            redis,
            self._wake,
            mailbox_max_commands=config.mailbox_max_commands,
            mailbox_max_bytes=config.mailbox_max_bytes,
            queue_max_commands=config.post_queue_max_commands,
            awake_milliseconds=config.awake_milliseconds,
            idempotency_seconds=config.idempotency_seconds,
            idempotency_max_bytes=config.idempotency_max_bytes,
        )
        self._sessions: dict[Session, None] = {}
        self.tail.watch_resync(self._resync)

    async def start(self) -> None:
        self._running = asyncio.create_task(self.tail.run())

    async def post(self, mailbox: int, entry: bytes, claim: Claim | None) -> Known | None:
        return await self._poster.post(mailbox, entry, claim)

    def open(self, send: Callable[[str], Any], end: Callable[[], object]) -> Session:
        """A socket of staff's."""
        caller = Caller(STAFF, _FOREVER)
        session = Session(self._parts, caller, send, end, self._parts.places.take(caller, None))
        self._sessions[session] = None
        return session

    def close(self, session: Session) -> None:
        session.close()
        self._parts.places.free(session.place)
        self._sessions.pop(session, None)

    async def _wake(self, mailbox: int) -> None:
        await activate(self._broker, mailbox)

    def _resync(self) -> None:
        for session in list(self._sessions):
            session.resync()
