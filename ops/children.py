"""Child processes: servers and the Procfile's processes. Each leads its own session, so that Ctrl-C in the terminal
reaches only us and we can stop them in order. Each is recorded in a folder while it runs, so that a later start can end
what a killed one left behind. Whether a process is ready is for its starter to check.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import msgspec
import psutil

# How closely two readings of a process's start time must agree to mean the same process. Linux derives it from a boot
# time that is itself rounded and adjusted; a pid is not reused that soon.
_SAME_START_SECONDS: Final = 3.0
_POLL_SECONDS: Final = 0.02
_AFTER_KILL_SECONDS: Final = 5.0


class Record(msgspec.Struct, frozen=True):
    """What is recorded of a running child. `started` is in seconds since the epoch, as the system reports it."""

    name: str
    pid: int
    started: float
    stop_signal: int


@dataclass(frozen=True)
class Account:
    """The system user a child runs as, if not our own."""

    name: str
    uid: int
    gid: int


class Child:
    """A process and whatever it starts in its session. `records` is the folder where it is recorded while it runs."""

    def __init__(
        self,
        name: str,
        command: Sequence[str] | str,
        *,
        records: Path,
        output: int | IO[bytes] | None,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        account: Account | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        record: str | None = None,
    ) -> None:
        """A command given as one string is run by the shell, like a Procfile's lines. Output and errors both go to
        `output`: a file, `subprocess.PIPE`, or None to inherit ours. It is recorded under `record`, or its name.
        """
        self.name = name
        self._stop_signal = stop_signal
        self.process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 - the commands are ours and the Procfile's
            command,
            shell=isinstance(command, str),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            start_new_session=True,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else (),
        )
        self._record = records / f"{record or name}.json"
        records.mkdir(parents=True, exist_ok=True)
        with suppress(psutil.NoSuchProcess):  # it may have exited already
            started = psutil.Process(self.pid).create_time()
            self._record.write_bytes(msgspec.json.encode(Record(name, self.pid, started, stop_signal)))

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code (negative: the signal that ended it), or None while it runs."""
        return self.process.poll()

    @property
    def is_gone(self) -> bool:
        """Whether it and its children have ended."""
        return self.returncode is not None and not _session_lives(self.pid)

    def record_as(self, record: str) -> None:
        """Records it under this name, in place of an earlier one that is gone."""
        with suppress(FileNotFoundError):  # it had exited before it could be recorded
            self._record = self._record.rename(self._record.with_name(f"{record}.json"))

    def signal_stop(self) -> None:
        """Asks it and its children to end, without waiting."""
        _signal_session(self.pid, self._stop_signal)
        # A stopped process (SIGSTOP) gets the other signal only when it continues.
        _signal_session(self.pid, signal.SIGCONT)

    def wait_stopped(self, seconds: float) -> None:
        """Gives it and its children this long to end, then kills them."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.is_gone:
            time.sleep(_POLL_SECONDS)
        self.kill()

    def stop(self, seconds: float) -> None:
        self.signal_stop()
        self.wait_stopped(seconds)

    def kill(self) -> None:
        """Kills it and its children at once, as a crash would."""
        _signal_session(self.pid, signal.SIGKILL)
        self.process.wait(_AFTER_KILL_SECONDS)
        self._record.unlink(missing_ok=True)


def end_leftovers(records: Path, seconds: float) -> list[str]:
    """Ends the children that a killed process of ours has left running, in reverse order of starting; each has
    `seconds` before it is killed. Returns their names. A pid that has since been reused is left alone.
    """
    found = [(path, _read(path)) for path in records.glob("*.json")]
    ended = []
    for path, record in sorted(found, key=lambda pair: pair[1].started if pair[1] else 0.0, reverse=True):
        if record is not None and _still_runs(record):
            _end(record, seconds)
            ended.append(record.name)
        path.unlink(missing_ok=True)
    return ended


def _read(path: Path) -> Record | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except msgspec.DecodeError:
        return None  # truncated by the same crash; Postgres and the ports still guard themselves


def _still_runs(record: Record) -> bool:
    try:
        process = psutil.Process(record.pid)
        return abs(process.create_time() - record.started) < _SAME_START_SECONDS and _is_alive(process)
    except psutil.NoSuchProcess:
        return False


def _end(record: Record, seconds: float) -> None:
    leader = psutil.Process(record.pid)
    # Postgres's children leave its session, and must be gone before its data is opened again.
    family = [leader, *leader.children(recursive=True)]
    _signal_session(record.pid, signal.Signals(record.stop_signal))
    _signal_session(record.pid, signal.SIGCONT)
    end_processes(family, after_seconds=seconds)


def end_processes(processes: Sequence[psutil.Process], *, after_seconds: float = 0.0) -> None:
    """Gives processes, which need not be our children, this long to end, then kills them."""
    _wait_until_gone(processes, after_seconds)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _wait_until_gone(processes, _AFTER_KILL_SECONDS)


def _wait_until_gone(processes: Sequence[psutil.Process], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(map(_is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _is_alive(process: psutil.Process) -> bool:
    # A zombie no longer holds anything; in containers, orphans may stay zombies.
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _signal_session(leader: int, what: signal.Signals) -> None:
    # The leader's pid is not reused while its session has members, even when the leader is gone.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, what)


def _session_lives(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except (ProcessLookupError, PermissionError):  # macOS raises the second when only zombies are left
        return False
    return True
