"""The fleet: the processes of a world that are alive, and the network between them. A dead process is replaced after a
while; the feed's messages and the activations arrive late, twice, in another order, or never."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from random import Random
from typing import Any, Final, TypeVar

from runtime.database import LOST_CONNECTION
from runtime.feed import EVENTS_CHANNEL
from runtime.redis_client import REDIS_UNAVAILABLE
from runtime.settings import Settings
from tests.simulation.follower import Followed
from tests.simulation.processes import BackgroundProcess, GatewayProcess, Program, WorkerProcess
from tests.simulation.redis_time import RedisTime
from tests.simulation.stage import Stage
from tests.simulation.turns import Process
from tests.simulation.wires import Carrier
from workers.headlines import DECODER

KINDS: Final[dict[str, type[Program]]] = {
    "gateway": GatewayProcess,
    "worker": WorkerProcess,
    "background": BackgroundProcess,
}
"""The programs, by the names of their processes."""

_COUNTS: Final = {"gateway": 2, "worker": 3, "background": 2}
_SWEEP_SECONDS: Final = 0.5
_REVIVAL_SECONDS: Final = 0.3
_DELAY_SECONDS: Final = 0.003
_RECONNECTS: Final = 0.2

_P = TypeVar("_P", bound=Program)


class Fleet(Carrier):
    """The fleet of one world. Messages are lost until it `is_calm`, in some worlds many, in others none."""

    def __init__(
        self, random: Random, stage: Stage, redis_time: RedisTime, config: Settings, followed: Followed
    ) -> None:
        self.happened: Counter[str] = Counter()
        self.wrong: list[str] = []
        """Errors that nobody expected."""
        self.is_calm = False
        self._random = random
        self._stage = stage
        self._redis_time = redis_time
        self._config = config
        self._followed = followed
        self._numbers: Counter[str] = Counter()
        self._programs: list[Program] = []
        self._feed_loses = random.choice([0.0, 0.02, 0.3, 1.0])
        self._activations_lost = random.choice([0.0, 0.1, 0.5])

    async def live(self) -> None:
        """Starts all, and has one sweep now and then, as the scheduler does; until cancelled."""
        for name, count in _COUNTS.items():
            for _ in range(count):
                self._start(name)
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self._obey(WorkerProcess, "sweep", [])

    def start_again(self, process: Process) -> None:
        """Another process takes the place of one that is dead, after a while."""
        self._stage.loop.call_later(self._random.expovariate(1 / _REVIVAL_SECONDS), self._start, process.name)

    def living(self, kind: type[_P]) -> list[_P]:
        """All of a kind that have started and are not dead."""
        return [each for each in self._programs if isinstance(each, kind) and not each.process.dead]

    def begin(self, process: Process, work: Coroutine[Any, Any, None]) -> None:
        """Something that a process is asked to do. It may fail for want of a server, and for no other reason."""
        self._stage.begin(process, work).add_done_callback(self._see_how_it_ended)

    def _start(self, name: str) -> None:
        self._numbers[name] += 1
        process = Process(name, self._numbers[name])
        self.begin(process, self._run(process))

    async def _run(self, process: Process) -> None:
        program = KINDS[process.name](process, self._config, self._followed)
        await program.start()
        self._programs = [each for each in self._programs if not each.process.dead]
        self._programs.append(program)

    def _see_how_it_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception) and not isinstance(error, (*LOST_CONNECTION, *REDIS_UNAVAILABLE)):
            self.wrong.append(f"{type(error).__name__}: {error}")

    def _obey(self, kind: type[WorkerProcess | BackgroundProcess], task: str, arguments: Sequence[Any]) -> None:
        if living := self.living(kind):
            program = self._random.choice(living)
            self.begin(program.process, program.obey(task, arguments))

    # What Redis carries.

    def publish(self, channel: str, message: str) -> None:
        if not channel.endswith(EVENTS_CHANNEL):
            return
        listeners: list[GatewayProcess | BackgroundProcess] = self.living(GatewayProcess)
        listeners += self.living(BackgroundProcess)
        for program in listeners:
            if self._random.random() < self._feed_loses and not self.is_calm:
                self.happened["feed message lost"] += 1
                if isinstance(program, GatewayProcess) and self._random.random() < _RECONNECTS:
                    program.tail.look_again()
                continue
            for _ in range(self._random.choice([1, 1, 1, 2])):
                delay = self._random.expovariate(1 / _DELAY_SECONDS)
                self._stage.loop.call_later(delay, self._hear, program, message)

    @staticmethod
    def _hear(program: GatewayProcess | BackgroundProcess, message: str) -> None:
        if program.process.dead:
            return
        if isinstance(program, GatewayProcess):
            program.tail.offer(message)
        else:
            program.hear(DECODER.decode(message))

    def activate(self, queue: str, task: str, arguments: Sequence[Any]) -> None:
        if self._random.random() < self._activations_lost and not self.is_calm:
            self.happened["activation lost"] += 1
            return
        kind = BackgroundProcess if queue == "background" else WorkerProcess
        delay = self._random.expovariate(1 / _DELAY_SECONDS)
        self._stage.loop.call_later(delay, self._obey, kind, task, arguments)

    def redis_is_asked(self, command: Sequence[Any]) -> Sequence[Any]:
        self._redis_time.expire(self._stage.now)
        return self._redis_time.asked(command)

    def redis_did(self, command: Sequence[Any], answer: Any) -> None:
        self._redis_time.did(command, answer, self._stage.now)
