"""What the embedded servers have in common: a folder for the data, a log file, a port that stays the same, a child
process, and a start that ends when a client really gets in.
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

START_TIMEOUT_SECONDS: Final = 60.0  # after a crash under load, Postgres replays its log and Valkey its file first
_POLL_SECONDS: Final = 0.02
_LOG_TAIL_LINES: Final = 15
_LOG_MAX_BYTES: Final = (
    10_000_000  # looked at when a server starts: a longer log is put aside, replacing the one before
)


class ServerError(Exception):
    """A server could not be made, started or reached; the message says why, with what its log said last."""


class EmbeddedServer(ABC):
    """A server of our own. It can be stopped or killed and started again: same port, same data."""

    name: ClassVar[str]
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
        """`home` is the folder for data, log and password. `settings` change the server's defaults."""
        self.home = home.resolve()
        self.data = self.home / self.name
        self.log = self.home / f"{self.name}.log"
        self.port = port or free_port()
        self.settings = settings
        self._start_timeout_seconds = start_timeout_seconds
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """The server's process. Raises if it does not run."""
        if self._child is None or self._child.returncode is not None:
            raise ServerError(f"{self.title} is not running")
        return self._child.pid

    @property
    def ended_by_itself(self) -> int | None:
        """The exit code of a server that nobody stopped (negative: the signal that ended it); None if it runs, or was
        stopped."""
        return None if self._child is None else self._child.returncode

    @property
    @abstractmethod
    def url(self) -> str:
        """How clients reach it, password included."""

    def start(self, check: Callable[[], None] = lambda: None) -> None:
        """Returns when a client gets in. `check` is called again and again meanwhile; if it raises, or the server
        does not come up, the server is stopped.
        """
        assert self._child is None, f"{self.title} was started and not stopped"
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
        try:
            self._wait_until_ready(check)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """An orderly end; by SIGKILL if that takes too long. Does nothing if the server does not run."""
        if self._child is not None:
            self._child.stop(self.stop_timeout_seconds)
            self._child = None

    def kill(self) -> None:
        """SIGKILL: what a crash leaves behind, is what the next start finds."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    @abstractmethod
    def _prepare(self) -> Account | None:
        """Makes the data folder what it must be before a start, and names the system user to run as."""

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """The program and its arguments. It runs in the data folder."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether a client got in and was served, just now."""

    def _wait_until_ready(self, check: Callable[[], None]) -> None:
        assert self._child is not None
        deadline = time.monotonic() + self._start_timeout_seconds
        while not self._answers():
            check()
            if self._child.returncode is not None:
                raise ServerError(f"{self.title} ended while starting:\n{self._log_tail()}")
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{self.title} did not answer within {self._start_timeout_seconds:.0f} s:\n{self._log_tail()}"
                )
            time.sleep(_POLL_SECONDS)

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        return "\n".join(f"  {line}" for line in lines)


def records_folder(home: Path) -> Path:
    """Where a home remembers what runs in it (see `ops.children`)."""
    return home.resolve() / "run"


def kept_password(path: Path) -> str:
    """The password in that file, for its owner's eyes only; drawn when asked for the first time."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(16))
        return path.read_text()
