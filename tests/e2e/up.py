"""`tidegate up` as a person runs it, for tests."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from ops.ports import free_port
from tests import pace, servers
from tests.system import eventually

TIDEGATE: Final = str(Path(sys.executable).with_name("tidegate"))
_READY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0

# What tests have started, by home: whoever closes the home also waits for it, so that no later test hears of it.
_started: Final[dict[Path, list[subprocess.Popen[str]]]] = {}


class Up:
    """One `tidegate up`, and everything it has printed so far."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self.port = free_port()
        self.lines: list[str] = []
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [TIDEGATE, "up"],
            env={**os.environ, "TIDEGATE_HOME": str(home), "PORT": str(self.port), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        _started.setdefault(home, []).append(self.process)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, text: str) -> None:
        eventually(
            f"{text!r} in the output of `tidegate up`, which was\n{self.output}\nand then",
            lambda: text in self.output or self.process.poll() is not None,
            within_seconds=_READY_SECONDS,
        )
        assert text in self.output, self.output

    def wait_for_more(self, text: str, seen: int) -> None:
        """Waits until the text has been printed more often than `seen` times."""
        eventually(f"{text!r} once more", lambda: self.output.count(text) > seen, within_seconds=_READY_SECONDS)

    def wait_until_ready(self) -> float:
        """Waits for the complete banner; returns the seconds since the start."""
        self.wait_for("Ctrl-C stops everything")
        return time.monotonic() - self.begun

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ends it, and returns its exit code."""
        self.process.send_signal(how)
        return self.wait_ended()

    def wait_ended(self) -> int:
        code = self.process.wait(pace.seconds(_STOP_SECONDS))
        self._reader.join(pace.seconds(_STOP_SECONDS))
        return code

    def curl(self, idempotency_key: str | None = None) -> dict[str, object]:
        """Runs the printed `curl`, as if pasted, and returns the answer."""
        command = next(line for line in self.lines if line.startswith("curl "))
        if idempotency_key is not None:
            command = command.replace("curl ", f"curl -H 'Idempotency-Key: {idempotency_key}' ", 1)
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, check=True, timeout=pace.seconds(30)
        )
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict)
        return answer

    def tidegate(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs another command, which finds it by its home."""
        return subprocess.run(
            [TIDEGATE, *arguments],
            env={**os.environ, "TIDEGATE_HOME": str(self.home)},
            capture_output=True,
            text=True,
            check=False,
            timeout=pace.seconds(60),
        )

    def pid(self, name: str) -> int | None:
        """The pid of one of its servers or processes; None while it is not running."""
        try:
            pid = json.loads((self.home / "run" / f"{name}.json").read_text())["pid"]
            return int(pid) if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE else None
        except (FileNotFoundError, json.JSONDecodeError, psutil.NoSuchProcess):
            return None  # it is being restarted

    def family(self) -> list[psutil.Process]:
        """It and every process that it has started, directly or indirectly."""
        leader = psutil.Process(self.process.pid)
        return [leader, *leader.children(recursive=True)]


@contextmanager
def new_home() -> Iterator[Path]:
    """A home. Whatever still runs in it when the test ends is stopped."""
    with servers.folder() as folder:
        yield folder
        for process in running_in(folder):
            process.kill()
        for started in _started.pop(folder, []):
            started.wait(pace.seconds(_STOP_SECONDS))


def running_in(home: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["environ", "cmdline"]):
        environment: Mapping[str, str] = process.info["environ"] or {}
        names_it = any(str(home) in argument for argument in process.info["cmdline"] or [])
        if environment.get("TIDEGATE_HOME") == str(home) or names_it:
            found.append(process)
    return found


def all_ended(processes: list[psutil.Process]) -> bool:
    return all(not process.is_running() or process.status() == psutil.STATUS_ZOMBIE for process in processes)
