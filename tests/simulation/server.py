"""The hand on Postgres: what a simulation does to the server, or asks of it, while all its processes stand still. It
has a thread with an event loop of its own, in this machine's time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Collection, Coroutine
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import asyncpg

from runtime.database import asyncpg_dsn

_T = TypeVar("_T")
_monotonic = time.monotonic

# How old Postgres's time may be, in milliseconds of the simulation.
_TIME_MAX_AGE: Final = 20
_LOOK_SECONDS: Final = 0.001
_GONE_SECONDS: Final = 20.0

# The first schema on the path, so that `now()` is this one.
_OWN_TIME: Final = """
    CREATE SCHEMA stage;
    CREATE SEQUENCE stage.milliseconds MINVALUE 0;
    CREATE FUNCTION stage.now() RETURNS timestamptz LANGUAGE sql STABLE
        AS 'SELECT to_timestamp(last_value / 1000.0) FROM stage.milliseconds';
"""
# Deadlocks are found at once, and by the last who came to wait: nothing else happens meanwhile.
_SETTINGS: Final = """
    ALTER DATABASE {0} SET search_path = stage, pg_catalog, public;
    ALTER DATABASE {0} SET deadlock_timeout = '1ms';
"""

_LOCKED: Final = "SELECT pid, pg_blocking_pids(pid) FROM unnest($1::int[]) AS pid"


class _Loop(asyncio.SelectorEventLoop):
    def time(self) -> float:
        return _monotonic()


class Server:
    """The server of one world's database. A context manager."""

    def __init__(self, database_url: str) -> None:
        self._dsn = asyncpg_dsn(database_url)
        self._name = self._dsn.rpartition("/")[2].partition("?")[0]
        self._backup = f"{self._name}_backup"
        self._loop = _Loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="the hand on Postgres", daemon=True)
        self._outside: asyncpg.Connection[Any]
        self._inside: asyncpg.Connection[Any] | None = None
        self._milliseconds = 0
        self.has_backup = False

    def __enter__(self) -> Self:
        self._thread.start()
        self._outside = self._do(asyncpg.connect(self._dsn, database="postgres"))
        self.execute(_OWN_TIME)
        self._do(self._outside.execute(_SETTINGS.format(self._name)))
        # Nothing happens there by itself.
        self._do(self._outside.execute("ALTER SYSTEM SET autovacuum = off"))
        self._do(self._outside.execute("SELECT pg_reload_conf()"))
        self._leave()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave()
        if self.has_backup:
            self._do(self._outside.execute(f"DROP DATABASE {self._backup}"))
        self._do(self._outside.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Rows of the world's database."""
        return self._do(self._within().fetch(query, *arguments))

    def execute(self, statements: str) -> None:
        """In the world's database."""
        self._do(self._within().execute(statements))

    def tell_time(self, milliseconds: int) -> None:
        """It is so late now, in milliseconds of Unix time."""
        if milliseconds - self._milliseconds > _TIME_MAX_AGE:
            self._milliseconds = milliseconds
            self.fetch("SELECT setval('stage.milliseconds', $1)", milliseconds)

    def locked(self, pids: Collection[int]) -> dict[int, list[int]]:
        """Those of the backends that wait for others, and for which; except those that wait for themselves: a deadlock
        ends soon."""
        blocked: dict[int, list[int]] = dict(self._do(self._outside.fetch(_LOCKED, list(pids))))
        return {pid: by for pid, by in blocked.items() if by and not _leads_to(pid, by, blocked)}

    def terminate(self, pids: Collection[int]) -> None:
        """Ends connections, and returns when they have ended. Those that wait for locks of others end first: they must
        not get them in between."""
        left = list(pids)
        while left:
            waited_for = {by for others in self.locked(left).values() for by in others}
            free = [pid for pid in left if pid not in waited_for] or left
            self._do(self._outside.fetch("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", free))
            self.wait_until_gone(free)
            left = [pid for pid in left if pid not in free]

    def cancel(self, pid: int) -> None:
        """Has a backend give up what it waits for."""
        self._do(self._outside.fetch("SELECT pg_cancel_backend($1)", pid))

    def wait_until_gone(self, pids: Collection[int]) -> None:
        """Returns when these backends have ended."""
        until = _monotonic() + _GONE_SECONDS
        query = "SELECT FROM pg_stat_activity WHERE pid = ANY($1::int[])"
        while pids and self._do(self._outside.fetch(query, list(pids))):
            assert _monotonic() < until, "connections do not end"
            time.sleep(_LOOK_SECONDS)

    def back_up(self) -> None:
        """Keeps the database as it is now. Nothing may be connected to it."""
        self._leave()
        if self.has_backup:
            self._do(self._outside.execute(f"DROP DATABASE {self._backup}"))
        self._copy(self._name, self._backup)
        self.has_backup = True

    def put_back(self) -> None:
        """Puts the database back to what it was at the last backup. Nothing may be connected to it."""
        self._leave()
        self._do(self._outside.execute(f"DROP DATABASE {self._name} WITH (FORCE)"))
        self._copy(self._backup, self._name)
        self._do(self._outside.execute(_SETTINGS.format(self._name)))
        self._milliseconds = 0

    def _copy(self, original: str, copy: str) -> None:
        self._do(self._outside.execute(f"CREATE DATABASE {copy} TEMPLATE {original} STRATEGY FILE_COPY"))

    def _within(self) -> asyncpg.Connection[Any]:
        if self._inside is None:
            self._inside = self._do(asyncpg.connect(self._dsn))
        return self._inside

    def _leave(self) -> None:
        if self._inside is not None:
            inside, self._inside = self._inside, None
            pid = inside.get_server_pid()
            self._do(inside.close())
            self.wait_until_gone([pid])

    def _do(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _leads_to(pid: int, by: Collection[int], blocked: dict[int, list[int]]) -> bool:
    seen: set[int] = set()
    following = list(by)
    while following:
        next_one = following.pop()
        if next_one == pid:
            return True
        if next_one not in seen:
            seen.add(next_one)
            following += blocked.get(next_one, [])
    return False
