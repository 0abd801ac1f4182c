"""What the embedded servers have in common: a data folder, a log file, a port that stays the same, a child process, and
a start that returns once a client can connect.
"""

import secrets
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final

from ops.children import Account, Child
from ops.ports import free_port

START_TIMEOUT_SECONDS: Final = 60.0  # after a crash under load, Postgres first replays its log and Valkey its file
_POLL_SECONDS: Final = 0.02
_LOG_TAIL_LINES: Final = 15
_LOG_MAX_BYTES: Final = (
    10_000_000  # checked when a server starts: a longer log is moved aside, replacing the previous one
)


class ServerError(Exception):
    """A server could not be set up, started or reached; the message says why and quotes the end of its log."""


class EmbeddedServer(ABC):
    """An embedded server. It can be stopped or killed and started again, with the same port and data."""

    name: str
    title: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]
    stop_timeout_seconds: ClassVar[float]

    def __init__(
        self,
        home: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
        start_timeout_seconds: float = START_TIMEOUT_SECONDS,
    ) -> None:
        """`home` is the folder for data, log and password. `settings` override the server's defaults."""
        self.home = home.resolve()
        self.data = self.home / self.name
        self.log = self.home / f"{self.name}.log"
        self.port = port or free_port()
        self.settings = settings
        self.start_timeout_seconds = start_timeout_seconds
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """The server's process id. Raises ServerError if it is not running."""
        if self._child is None or self._child.returncode is not None:
            raise ServerError(f"{self.title} is not running")
        return self._child.pid

    @property
    def ended_by_itself(self) -> int | None:
        """The exit code of a server that exited without being stopped (negative: the signal that ended it), otherwise
        None."""
        return None if self._child is None else self._child.returncode

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL for clients, including the password."""

    def start(self, check: Callable[[], None] = lambda: None) -> None:
        """Returns once a client can connect. `check` is called repeatedly meanwhile; if it raises, or the server does
        not come up, the server is stopped.
        """
        self.launch()
        try:
            self._wait_until_ready(check)
        except BaseException:
            self.stop()
            raise

    def launch(self) -> None:
        """Begins to start it, without waiting until it answers."""
        assert self._child is None, f"{self.title} is already started"
        self.home.mkdir(parents=True, exist_ok=True)
        account = self._prepare()
        if self.log.exists() and self.log.stat().st_size > _LOG_MAX_BYTES:
            self.log.replace(self.log.with_suffix(".log.old"))
        with self.log.open("ab") as log:
            self._child = Child(
                self.name,
                self._command(),
                records=records_folder(self.home),
                output=log,
                folder=self.data,
                account=account,
                stop_signal=self.stop_signal,
            )

    def stop(self) -> None:
        """Shuts down in order, or by SIGKILL if that takes too long. Does nothing if the server is not running."""
        if self._child is not None:
            self._child.stop(self.stop_timeout_seconds)
            self._child = None

    def kill(self) -> None:
        """SIGKILL: the next start finds what a crash would leave behind."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    @abstractmethod
    def _prepare(self) -> Account | None:
        """Prepares the data folder for a start, and returns the system user to run as."""

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """The program and its arguments; it runs in the data folder."""

    @abstractmethod
    def is_up(self) -> bool:
        """Whether a client can connect and is served."""

    def _wait_until_ready(self, check: Callable[[], None]) -> None:
        assert self._child is not None
        deadline = time.monotonic() + self.start_timeout_seconds
        while not self.is_up():
            check()
            if self._child.returncode is not None:
                raise ServerError(f"{self.title} exited while starting:\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{self.title} did not answer within {self.start_timeout_seconds:.0f} s:\n{self.last_words()}"
                )
            time.sleep(_POLL_SECONDS)

    def last_words(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        return "\n".join(f"  {line}" for line in lines)


def records_folder(home: Path) -> Path:
    """Where a home records its running processes (see `ops.children`)."""
    return home.resolve() / "run"


def kept_password(path: Path) -> str:
    """The password in this file, which only its owner can read; generated on first use."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(16))
        return path.read_text()
