"""A whole Tidegate for tests: real processes, fully durable servers, and what fault tests do to them.

Every wait is bounded, and says what it waited for. When a test fails, the logs' last lines are reported (see
`tests.conftest`).
"""

import asyncio
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final, TypeVar

import msgspec
import psutil

from ops import processes
from ops.embedded.server import START_TIMEOUT_SECONDS, EmbeddedServer
from ops.system import HOST, LocalSystem
from ops.verify import verify
from runtime.settings import DEVELOPMENT_SECRET, Settings
from runtime.signing_keys import KeyRing
from runtime.tokens import mint
from tests import offline, pace, servers
from tests.beside import all_go_on
from tests.leaks import leaks
from tests.leftovers import end_with_us
from tests.pace import Patience

COMMAND_TIMEOUT_SECONDS: Final = 60.0
_TOKEN_SECONDS: Final = 3600
# Looking costs processor time that others wait for: the longer something takes, the less often.
_POLL_SECONDS: Final = 0.02
_POLL_SECONDS_MAX: Final = 0.2
_POLL_GROWTH: Final = 1.2
_LOG_TAIL_LINES: Final = 40
_BEFORE_TRACEBACK_CHARS: Final = 300
_TRACEBACK_CHARS: Final = 6_000
_T = TypeVar("_T")


def eventually(what: str, look: Callable[[], _T], *, within_seconds: float) -> _T:
    """Calls `look` until it returns something true, and returns that. Fails, naming `what`, if that takes too long at
    this machine's pace (see `tests.pace`)."""
    patience, pauses = Patience(within_seconds), _pauses()
    while not (seen := look()):
        assert not patience.is_over(), f"{what}: not within {patience}"
        time.sleep(next(pauses))
    return seen


async def eventually_seen(what: str, look: Callable[[], Awaitable[_T]], *, within_seconds: float) -> _T:
    """The same for an async `look`; the test's other tasks continue."""
    patience, pauses = Patience(within_seconds), _pauses()
    while not (seen := await look()):
        all_go_on()
        assert not patience.is_over(), f"{what}: not within {patience}"
        await asyncio.sleep(next(pauses))
    return seen


def _pauses() -> Iterator[float]:
    pause = _POLL_SECONDS
    while True:
        yield pause
        pause = min(pause * _POLL_GROWTH, _POLL_SECONDS_MAX)


class System(LocalSystem):
    """`with System() as system:` or the fixture `system`. `settings` are environment variables of its processes."""

    running: ClassVar[list["System"]] = []

    def __init__(self, settings: Mapping[str, str] = MappingProxyType({}), *, sandbox: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tidegate-", ignore_cleanup_errors=True)
        super().__init__(
            Path(self._folder.name),
            # Tests read metrics that they have just caused.
            settings={"TIDEGATE_METRICS_FRESH_SECONDS": "0", **settings},
            sandbox=sandbox,
            start_timeout_seconds=pace.seconds(START_TIMEOUT_SECONDS),
        )

    @property
    def environment(self) -> dict[str, str]:
        """The processes do not get the caller's PYTHONPATH but the one that keeps them offline."""
        return {**super().environment, "PYTHONPATH": str(offline.FOLDER)}

    def start(self, check: Callable[[], None] = lambda: None) -> None:
        self.running.append(self)
        try:
            end_with_us(self.home)
            if not self.postgres.data.exists():
                servers.prepare(self.home)
            super().start(check)
        except BaseException as error:
            error.add_note(self.log_tails())
            self._forget()
            raise

    def stop(self) -> None:
        """Also checks, for every test, that no log contains secrets or personal data."""
        try:
            super().stop()
            found = [leak for name in processes.commands() for leak in leaks(self.log(name))]
            assert not found, found
        finally:
            self._forget()

    def _forget(self) -> None:
        self.running.remove(self)
        self._folder.cleanup()

    @property
    def each_server(self) -> Sequence[EmbeddedServer]:
        """The servers, each of which tests can kill by itself."""
        return self.postgres, self.valkey

    def make_whole(self) -> None:
        """Starts again what a test that failed has left dead, or stopped: the next one may use the same system."""
        for server in self.each_server:
            if not server.is_up():
                server.kill()
                server.start()
        for name in self._programs:
            if self.has_ended(name):
                self.start_process(name)
        self._processes.wait_until_ready(HOST, self.port, lambda: None, within_seconds=self._start_timeout_seconds)

    def token(self, role: str = "customer", subject: str | None = None) -> str:
        path = self._settings.get("TIDEGATE_SIGNING_KEYS")
        keys = KeyRing.from_file(Path(path)) if path else KeyRing.shared(DEVELOPMENT_SECRET)
        return mint(keys, subject or f"test-{role}", [role], lifetime_seconds=_TOKEN_SECONDS)

    def worker_pids(self) -> list[int]:
        """The worker processes proper, which their parent restarts when they die."""
        return self._led_by("worker")

    def background_pids(self) -> list[int]:
        """The background processes proper, likewise."""
        return self._led_by("background")

    def _led_by(self, name: str) -> list[int]:
        found = []
        for child in psutil.Process(self.pid(name)).children():
            with suppress(psutil.NoSuchProcess):  # one that was killed has just been waited for
                if child.status() != psutil.STATUS_ZOMBIE:
                    found.append(child.pid)
        return found

    def kill_worker(self) -> int:
        """Kills (SIGKILL) one worker process; returns the pid it had."""
        return self._signal_worker(signal.SIGKILL)

    def pause_worker(self) -> int:
        """Stops (SIGSTOP) one worker process; returns its pid, for `resume`, once it has stopped."""
        pid = self._signal_worker(signal.SIGSTOP)
        process = psutil.Process(pid)
        eventually("a stopped worker", lambda: process.status() == psutil.STATUS_STOPPED, within_seconds=5)
        return pid

    def resume(self, pid: int) -> None:
        os.kill(pid, signal.SIGCONT)

    def _signal_worker(self, what: signal.Signals) -> int:
        pid = eventually("a worker process", self.worker_pids, within_seconds=10)[0]
        os.kill(pid, what)
        return pid

    def has_ended(self, name: str) -> bool:
        """Whether the process started for a line of the Procfile has ended."""
        return self._processes.child(name).returncode is not None

    def kill_process(self, name: str) -> None:
        """Kills (SIGKILL) one of the Procfile's processes and its children; `start_process` starts it again."""
        self._processes.child(name).kill()

    def pids(self) -> set[int]:
        """The pids of all processes of the Procfile, including the worker and background processes proper."""
        return {self.pid(name) for name in processes.commands()}.union(self.worker_pids(), self.background_pids())

    def tidegate(
        self, *arguments: str, timeout_seconds: float = COMMAND_TIMEOUT_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Runs the CLI against this system."""
        return subprocess.run(
            ["tidegate", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=pace.seconds(timeout_seconds),
        )

    def verify(self) -> tuple[int, dict[str, Any]]:
        """The exit code of `tidegate verify --from-zero --json`, and what it would print. Runs in this process."""
        environment = self.environment
        proof = verify(
            environment["DATABASE_URL"],
            environment["REDIS_URL"],
            mailbox_count=int(
                environment.get("TIDEGATE_MAILBOX_COUNT", Settings.model_fields["mailbox_count"].default)
            ),
            from_zero=True,
        )
        # In a thread: a test may be inside an event loop.
        with ThreadPoolExecutor(max_workers=1) as thread:
            report = thread.submit(asyncio.run, proof).result()
        return 0 if report.clean else 1, json.loads(msgspec.json.encode(report.document()))

    def tracebacks(self) -> list[str]:
        """The first traceback of each process whose log holds one: something unexpected happened."""
        logs = {name: self.log(name).read_text(errors="replace") for name in processes.commands()}
        return [
            f"{name}: {log[max(0, at - _BEFORE_TRACEBACK_CHARS) : at + _TRACEBACK_CHARS]}"
            for name, log in logs.items()
            if (at := log.find("Traceback")) >= 0
        ]

    def log_tails(self) -> str:
        """The last lines of every log."""
        return "\n".join(
            f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
            for log in sorted(self.home.glob("*.log"))
        )
