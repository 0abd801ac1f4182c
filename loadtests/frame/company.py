"""A run's processes: a single one, or a master and its workers. The leading one sends each its scene before its users
start, and collects the results of each after its users have finished."""

from __future__ import annotations

import logging
from typing import Any, Final

import gevent
import msgspec
from gevent.event import Event
from locust.env import Environment
from locust.runners import STATE_MISSING, MasterRunner, WorkerRunner

from loadtests.frame.arrivals import Stage, shares
from loadtests.frame.run import Noted, Scene, the_run

_SCENE: Final = "tidegate-scene"
_ALL_CAME: Final = "tidegate-all-came"
_FINISH: Final = "tidegate-finish"
_FINISHED: Final = "tidegate-finished"
_REPORT_SECONDS: Final = 30.0

_log = logging.getLogger(__name__)


class Company:
    """All processes, as seen by the leading one."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._runner: Any = environment.runner
        self._waiting: set[str] = set()
        self._finished = Event()
        self.noted = Noted()
        if isinstance(self._runner, MasterRunner):
            self._runner.register_message(_ALL_CAME, lambda environment, msg: self._one_done(msg.node_id))
            self._runner.register_message(_FINISHED, lambda environment, msg: self._collect(msg.node_id, msg.data))
        else:
            _take_part(environment)
            the_run().on_all_came = self.end

    def begin(self, scene: Scene) -> None:
        """Sends every process its scene: its share of the arrivals, and its own shoppers."""
        self.noted = Noted()
        if not isinstance(self._runner, MasterRunner):
            the_run().set(scene)
            return
        workers = self._workers()
        self._waiting = set(workers)
        parts = [None] * len(workers) if scene.most is None else shares(scene.most, len(workers))
        for number, worker in enumerate(workers):
            part = msgspec.structs.replace(
                scene,
                shoppers=scene.shoppers[number :: len(workers)] or scene.shoppers,
                staff=scene.staff[number :: len(workers)] or scene.staff,
                stages=[Stage(stage.rate / len(workers), stage.seconds) for stage in scene.stages],
                most=parts[number],
            )
            self._runner.send_message(_SCENE, msgspec.to_builtins(part), worker)

    def finish(self) -> None:
        """Tells the workers to finish, and waits for their results. A single process has none to wait for."""
        if not isinstance(self._runner, MasterRunner):
            return
        self._waiting = set(self._workers())
        self._finished.clear()
        if self._waiting:
            self._runner.send_message(_FINISH)
            if not self._finished.wait(self._environment.stop_timeout + _REPORT_SECONDS):
                _log.error("%d workers did not say what they have noted", len(self._waiting))

    def gather(self) -> Noted:
        """The results of all processes."""
        return self.noted if isinstance(self._runner, MasterRunner) else the_run().noted

    def end(self) -> None:
        """Ends the run, in a greenlet of its own, because ending it stops the users' greenlets."""
        options = self._environment.parsed_options
        headless = options is not None and options.headless
        gevent.spawn(self._runner.quit if headless else self._runner.stop)

    def _workers(self) -> list[str]:
        return [worker.id for worker in self._runner.clients.all if worker.state != STATE_MISSING]

    def _one_done(self, worker: str) -> None:
        self._waiting.discard(worker)
        if not self._waiting:
            self.end()

    def _collect(self, worker: str, data: dict[str, Any]) -> None:
        self.noted.tallies.update(data["tallies"])
        self.noted.records += data["records"]
        self._waiting.discard(worker)
        if not self._waiting:
            self._finished.set()


def join(environment: Environment) -> None:
    """Joins the run as a worker."""
    runner: Any = environment.runner
    assert isinstance(runner, WorkerRunner)
    _take_part(environment)

    def finish(environment: Environment, msg: Any) -> None:
        runner.stop()
        # Locust sends statistics every few seconds; the last ones must be there before the verdict.
        runner._send_stats()
        runner.send_message(_FINISHED, msgspec.to_builtins(the_run().noted))

    the_run().on_all_came = lambda: runner.send_message(_ALL_CAME)
    runner.register_message(_SCENE, lambda environment, msg: the_run().set(msgspec.convert(msg.data, Scene)))
    runner.register_message(_FINISH, finish, concurrent=True)


def _take_part(environment: Environment) -> None:
    """Joins the run in a process that has users."""
    events: Any = environment.events  # Locust has no types there
    the_run().environment = environment
    events.spawning_complete.add_listener(lambda **_: the_run().open())
    events.test_stopping.add_listener(lambda **_: the_run().stop())
