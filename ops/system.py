"""A complete private Tidegate: embedded servers, a migrated database and the Procfile's processes, in one folder, on
free ports, next to whatever else is running. Tests, benchmarks and `make load` use it; `tidegate up` is for people.

    python -m ops.system COMMAND...

runs a command against such a system, in a folder that is removed afterwards; `{url}` in it is the gateway's URL.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

import click

from ops import processes
from ops.children import Child
from ops.embedded.cluster import ValkeyCluster
from ops.embedded.postgres import PostgresServer
from ops.embedded.server import START_TIMEOUT_SECONDS, EmbeddedServer, ServerError, records_folder
from ops.embedded.valkey import ValkeyServer
from ops.ports import free_port
from ops.processes import ProcessError, Processes
from ops.stopping import Stopped, StopRequest, stop_request
from runtime import migrations

HOST: Final = "127.0.0.1"
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_COMMAND_STOP_TIMEOUT_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05
STOPPED_CODE: Final = 130  # a shell's exit code for a command ended by Ctrl-C


class LocalSystem:
    """As durable as `tidegate up` by default. A context manager, which stops in order what it started."""

    def __init__(
        self,
        home: Path,
        *,
        settings: Mapping[str, str] = _NOTHING,
        postgres_settings: Mapping[str, str] = _NOTHING,
        valkey_settings: Mapping[str, str] = _NOTHING,
        sandbox: bool = False,
        start_timeout_seconds: float = START_TIMEOUT_SECONDS,
    ) -> None:
        """`settings` are environment variables for the processes, added to our own. With `sandbox`, payments can be
        tried. Each server, and then all processes together, may take `start_timeout_seconds` to start."""
        self.home = home
        self.port = free_port()
        self.postgres = PostgresServer(home, settings=postgres_settings, start_timeout_seconds=start_timeout_seconds)
        self.valkey = ValkeyServer(home, settings=valkey_settings, start_timeout_seconds=start_timeout_seconds)
        self.sandbox_port = free_port()
        self._programs = processes.commands(sandbox=sandbox)
        self._settings = {"TIDEGATE_SANDBOX_PORT": str(self.sandbox_port), **settings}
        self._start_timeout_seconds = start_timeout_seconds
        self._processes: Processes
        self._running = ExitStack()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def redis_url(self) -> str:
        return self.valkey.url

    @property
    def servers(self) -> Sequence[EmbeddedServer | ValkeyCluster]:
        """The servers, which are started before the processes."""
        return self.postgres, self.valkey

    @property
    def environment(self) -> dict[str, str]:
        """The environment for processes that use this system: the CLI, a load generator."""
        return processes.environment(
            {**os.environ, **self._settings},
            database_url=self.postgres.url,
            redis_url=self.redis_url,
            host=HOST,
            port=self.port,
            home=self.home,
        )

    @property
    def process_environment(self) -> dict[str, str]:
        """The environment of the processes that make up this system."""
        return self.environment

    def start(self, check: Callable[[], None] = lambda: None) -> None:
        """Returns once the gateway is ready. `check` is called meanwhile, and may raise; if anything fails, what has
        been started is stopped again.
        """
        with ExitStack() as running:
            for server in self.servers:
                server.start(check)
                running.callback(server.stop)
            migrations.upgrade(self.postgres.url)
            self._processes = Processes(self.home, self.process_environment)
            running.callback(self._processes.stop)
            for name in self._programs:
                self.start_process(name)
            self._processes.wait_until_ready(HOST, self.port, check, within_seconds=self._start_timeout_seconds)
            self._running = running.pop_all()

    def stop(self) -> None:
        self._running.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start_process(self, name: str) -> None:
        """Starts one of the Procfile's processes, which must not be running."""
        with self.log(name).open("ab") as log:
            self._processes.start(name, self._programs[name], log)

    def stop_process(self, name: str) -> None:
        self._processes.child(name).stop(processes.stop_timeout_seconds(self.environment))

    def pid(self, name: str) -> int:
        """The id of the process started for a line of the Procfile."""
        return self._processes.child(name).pid

    def log(self, name: str) -> Path:
        """The file with the output of a process or server."""
        return self.home / f"{name}.log"


@contextmanager
def temporary_system(
    *, settings: Mapping[str, str] = _NOTHING, check: Callable[[], None] = lambda: None
) -> Iterator[LocalSystem]:
    """A fully durable system in a folder that is removed afterwards. `check` is called while it starts, and may
    raise."""
    with tempfile.TemporaryDirectory(prefix="tidegate-", ignore_cleanup_errors=True) as home:
        system = LocalSystem(Path(home), settings=settings)
        system.start(check)
        try:
            yield system
        finally:
            system.stop()


def run_command(command: Sequence[str], system: LocalSystem, stop: StopRequest) -> int:
    """Runs a command until it ends or we are stopped, with its output going where ours does; returns its exit code."""
    child = Child("command", command, records=records_folder(system.home), output=None, environment=system.environment)
    try:
        while child.returncode is None:
            stop.check()
            time.sleep(_POLL_SECONDS)
        return child.returncode
    finally:
        child.stop(_COMMAND_STOP_TIMEOUT_SECONDS)


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def main(command: tuple[str, ...]) -> None:
    """Run COMMAND against a system of its own, and exit with its exit code."""
    try:
        with stop_request() as stop, temporary_system(check=stop.check) as system:
            code = run_command([part.replace("{url}", system.url) for part in command], system, stop)
    except Stopped:
        code = STOPPED_CODE
    except (ServerError, ProcessError) as error:
        raise click.ClickException(str(error)) from error
    sys.exit(code)


if __name__ == "__main__":
    main()
