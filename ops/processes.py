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
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

import psutil

from ops.children import Child
from ops.embedded.server import records_folder
from runtime.database_url import with_absolute_files

PROCFILE: Final = Path(__file__).parent / "Procfile"
"""A symbolic link to the checkout's Procfile; in an installed package, the file itself."""

_PROCFILE_LINE: Final = re.compile(r"^([A-Za-z0-9_-]+):\s*(.+)$", re.MULTILINE)

# Longer than the Procfile gives the gateway (3 s) and the workers (1 s, then 3 s) to finish their work.
STOP_TIMEOUT_SECONDS: Final = 6.0
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


def commands() -> dict[str, str]:
    """The Procfile's processes: shell commands by name."""
    return dict(_PROCFILE_LINE.findall(PROCFILE.read_text()))


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
        _empty(Path(environment["PROMETHEUS_MULTIPROC_DIR"]))

    def start(self, name: str, command: str, output: int | IO[bytes]) -> Child:
        """Starts a process, which must not be running; its output goes to a file or to `subprocess.PIPE`."""
        assert name not in self._children or self._children[name].returncode is not None, f"{name} is already running"
        child = Child(
            name,
            command,
            records=records_folder(self._home),
            output=output,
            environment=self._environment,
            folder=self._home,  # has no modules: uvicorn, taskiq and `python -m` import from the working directory
        )
        self._children[name] = child
        return child

    def child(self, name: str) -> Child:
        return self._children[name]

    def ended(self) -> Child | None:
        """A process that has exited without being stopped, or None."""
        return next((child for child in self._children.values() if child.returncode is not None), None)

    def stop(self) -> None:
        """Stops all processes at once: asks each to finish its work, and kills those that take too long."""
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        for child in self._children.values():
            child.signal_stop()
        for child in self._children.values():
            child.wait_stopped(max(0.0, deadline - time.monotonic()))
        self._children.clear()

    def wait_until_ready(
        self,
        host: str,
        port: int,
        check: Callable[[], None] = lambda: None,
        *,
        within_seconds: float = READY_TIMEOUT_SECONDS,
    ) -> None:
        """Returns once the gateway reports that it is ready, and it is ours that listens there. `check` is called
        meanwhile, and may raise."""
        deadline = time.monotonic() + within_seconds
        while not (_says_ready(host, port) and self._listens(port)):
            check()
            ended = self.ended()
            if ended is not None:
                raise ProcessError(f"{ended.name} exited while starting, with exit code {ended.returncode}")
            if time.monotonic() > deadline:
                raise ProcessError(f"the gateway was not ready within {within_seconds:.0f} s")
            time.sleep(_POLL_SECONDS)

    def _listens(self, port: int) -> bool:
        """Whether one of these processes or their children listens on this port; True if the system does not say."""
        for child in self._children.values():
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(child.pid)
                for each in (process, *process.children(recursive=True)):
                    try:
                        connections = each.net_connections("tcp")
                    except psutil.AccessDenied:
                        return True
                    if any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections):
                        return True
        return False


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
    """Empties the folder: metrics of earlier processes would be counted as well."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.db"):
        file.unlink()
