"""The Procfile's processes: their commands, the environment they share, starting and stopping them, and when they are
ready. They run as children (see `ops.children`); what happens to their output is up to the caller.

The Procfile is parsed here rather than by honcho, whose Manager forgets a process that it is told to stop while
starting, and puts an intermediate process between us and each of them, which our SIGKILL would leave behind. What
remains of honcho then is one line.
"""

import http.client
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final

from ops.children import Child
from ops.connected import listens
from ops.embedded.server import records_folder
from runtime.database_url import with_absolute_files
from runtime.settings import Settings

PROCFILE: Final = Path(__file__).parent / "Procfile"
"""A symbolic link to the checkout's Procfile; in an installed package, the file itself."""

GATEWAY: Final = "gateway"
"""The line of the Procfile whose process listens on the port."""

SANDBOX: Final = "sandbox"
"""The line of the Procfile that is not part of a real shop: in development, it stands in for payment providers."""

_PROCFILE_LINE: Final = re.compile(r"^([A-Za-z0-9_-]+):\s*(.+)$", re.MULTILINE)

# How long a process may take to exit after it has finished its work, in addition to TIDEGATE_STOP_SECONDS.
_GONE_SECONDS: Final = 3.0
READY_TIMEOUT_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.03
_ANSWER_TIMEOUT_SECONDS: Final = 2.0

# Names under which a setting may be given; the first wins (see `runtime.settings`), so both are always set together.
_PREFIX: Final = "TIDEGATE_"
_ALSO_WITHOUT_PREFIX: Final = ("DATABASE_URL", "REDIS_URL", "PORT")

# Another project's modules would be found before ours.
_OF_OTHER_PYTHONS: Final = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP")

# Settings that name files relative to the caller's working directory, which is not the processes'.
_FILES: Final = ("TIDEGATE_SIGNING_KEYS",)


class ProcessError(Exception):
    """A process of the Procfile exited, or did not become ready."""


def commands(*, sandbox: bool = False) -> dict[str, str]:
    """The Procfile's processes, with or without the sandbox: shell commands by name."""
    lines = dict(_PROCFILE_LINE.findall(PROCFILE.read_text()))
    return {name: command for name, command in lines.items() if sandbox or name != SANDBOX}


def environment(
    base: Mapping[str, str], *, database_url: str, redis_url: str, host: str, port: int, home: Path
) -> dict[str, str]:
    """The environment of every process: `base`, with the servers, the port, the home and the folder for metrics."""
    chosen = {"DATABASE_URL": with_absolute_files(database_url), "REDIS_URL": redis_url, "PORT": str(port)}
    home = home.resolve()
    kept = {name: value for name, value in base.items() if name.removeprefix(_PREFIX) not in _ALSO_WITHOUT_PREFIX}
    for name in _OF_OTHER_PYTHONS:
        kept.pop(name, None)
    for name in _FILES:
        if kept.get(name):
            kept[name] = str(Path(kept[name]).resolve())
    return {
        **kept,
        **chosen,
        "TIDEGATE_HOST": host,
        "TIDEGATE_HOME": str(home),
        "PROMETHEUS_MULTIPROC_DIR": str(home / "metrics"),
        "PYTHONUNBUFFERED": "1",
        # `uvicorn` and `taskiq` from the same venv as this interpreter, whether or not it is active.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{base.get('PATH', os.defpath)}",
    }


def stop_timeout_seconds(environment: Mapping[str, str]) -> float:
    """How long processes with this environment may take to stop before they are killed."""
    chosen = environment.get(f"{_PREFIX}STOP_SECONDS", Settings.model_fields["stop_seconds"].default)
    return float(chosen) + _GONE_SECONDS


def settings_in(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that are settings of Tidegate."""
    return {
        name: value for name, value in environment.items() if name.startswith(_PREFIX) or name in _ALSO_WITHOUT_PREFIX
    }


class Processes:
    """The running processes of one home."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self._home = home
        self._environment = environment
        self._children: dict[str, Child] = {}
        self._beside: list[Child] = []
        _empty(Path(environment["PROMETHEUS_MULTIPROC_DIR"]))

    def start(self, name: str, command: str, output: int | IO[bytes]) -> Child:
        """Starts a process, which must not be running; its output goes to a file or to `subprocess.PIPE`."""
        assert name not in self._children or self._children[name].returncode is not None, f"{name} is already running"
        self._children[name] = self._begin(name, command, output)
        return self._children[name]

    def start_beside(self, name: str, command: str, output: int | IO[bytes]) -> Child:
        """Starts a second process next to the one of that name; `replace` or `end` must follow."""
        child = self._begin(name, command, output, record=f"{name}.next")
        self._beside.append(child)
        return child

    def replace(self, name: str, child: Child) -> Child:
        """Makes `child`, from `start_beside`, the process of that name. Returns the previous one, for `end`."""
        before = self._children[name]
        self._beside[self._beside.index(child)] = before
        self._children[name] = child
        return before

    def end(self, child: Child, check: Callable[[], None]) -> None:
        """Stops one of two processes that run next to each other; `check` is called meanwhile."""
        child.signal_stop()
        deadline = time.monotonic() + stop_timeout_seconds(self._environment)
        while not child.is_gone and time.monotonic() < deadline:
            check()
            time.sleep(_POLL_SECONDS)
        child.kill()
        self._beside.remove(child)

    def _begin(self, name: str, command: str, output: int | IO[bytes], record: str | None = None) -> Child:
        return Child(
            name,
            command,
            records=records_folder(self._home),
            output=output,
            environment=self._environment,
            folder=self._home,  # has no modules: taskiq and `python -m` import from the working directory
            record=record,
        )

    def child(self, name: str) -> Child:
        return self._children[name]

    def ended(self) -> Child | None:
        """A process that has exited without being stopped, or None."""
        return next((child for child in self._children.values() if child.returncode is not None), None)

    def is_listening(self, port: int) -> bool:
        """Whether one of these processes or their children listens on this port; True if the system does not say."""
        return any(listens(child, port) for child in self._children.values())

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Stops all processes concurrently: asks each to finish its work, and kills those that take too long, or all of
        them as soon as `hurry` returns True."""
        deadline = time.monotonic() + stop_timeout_seconds(self._environment)
        running = [*self._children.values(), *self._beside]
        for child in running:
            child.signal_stop()
        while not all(child.is_gone for child in running) and time.monotonic() < deadline and not hurry():
            time.sleep(_POLL_SECONDS)
        for child in running:
            child.kill()
        self._children.clear()
        self._beside.clear()

    def wait_until_ready(
        self,
        host: str,
        port: int,
        check: Callable[[], None] = lambda: None,
        *,
        within_seconds: float = READY_TIMEOUT_SECONDS,
    ) -> None:
        """Returns once the gateway reports that it is ready, and the process that listens there is ours. `check` is
        called meanwhile, and may raise."""
        deadline = time.monotonic() + within_seconds
        while not (_says_ready(host, port) and self.is_listening(port)):
            check()
            ended = self.ended()
            if ended is not None:
                raise ProcessError(f"{ended.name} exited while starting, with exit code {ended.returncode}")
            if time.monotonic() > deadline:
                raise ProcessError(f"the gateway was not ready within {within_seconds:.0f} s")
            time.sleep(_POLL_SECONDS)


def reachable(host: str) -> str:
    """The address at which this machine reaches a server that listens on `host`, which may mean all addresses."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound here


def _says_ready(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(reachable(host), port, timeout=_ANSWER_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _empty(folder: Path) -> None:
    """Empties the folder, because metrics of earlier processes would be counted, too."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
