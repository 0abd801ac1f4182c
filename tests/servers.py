"""The servers that tests share: one Postgres and one Valkey for each test process, started when first needed.

They are not durable, for speed; tests about durability use `tests.system`. Each test gets its own database, a copy of a
migrated one, and an empty Redis.
"""

import asyncio
import atexit
import itertools
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import asyncpg
import psutil
import redis

from ops.embedded import postgres, valkey
from ops.embedded.postgres import USER, PostgresServer
from ops.embedded.server import START_TIMEOUT_SECONDS
from ops.embedded.valkey import ValkeyServer
from runtime import migrations
from tests import pace
from tests.leftovers import end_with_us
from tests.plans import switched_off

_TEMPLATE: Final = "tidegate_template"

# The servers of four test processes take about 2 GiB.
_MEMORY_MIN_BYTES: Final = 6 * 2**30
_T = TypeVar("_T")


class Databases:
    """Databases of one Postgres server, each a copy of one that was migrated once. A context manager.

    Hundreds are made in a run, so it keeps one connection for that, in a thread with its own event loop: starting psql
    takes longer than copying a database's files."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._names = (f"test_{number}" for number in itertools.count(1))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="databases of tests", daemon=True)
        self._connection: asyncpg.Connection[Any]

    def __enter__(self) -> Self:
        self._thread.start()
        self._connection = self._run(asyncpg.connect(self._server.url))
        self._run(self._connection.execute(f"CREATE DATABASE {_TEMPLATE}"))
        migrations.upgrade(self._server.url_of(_TEMPLATE))
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._connection.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """The URL of a database with today's tables and nothing in them."""
        with self._database(f"TEMPLATE {_TEMPLATE}") as url:
            yield url

    @contextmanager
    def empty(self, options: str = "") -> Iterator[str]:
        """The URL of a database without tables, made with these options of CREATE DATABASE."""
        with self._database(options) as url:
            yield url

    @contextmanager
    def copy(self, database_url: str) -> Iterator[str]:
        """The URL of a copy of that database as it is now; nothing may be connected to it."""
        with self._database(f"TEMPLATE {database_url.rpartition('/')[2]}") as url:
            yield url

    @contextmanager
    def _database(self, options: str) -> Iterator[str]:
        name = next(self._names)
        self._run(self._connection.execute(f"CREATE DATABASE {name} {options} STRATEGY FILE_COPY"))
        try:
            yield self._server.url_of(name)
        finally:
            self._run(self._connection.execute(f"DROP DATABASE {name} WITH (FORCE)"))

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for servers that need not be durable: in memory, if there is plenty of it.

    Each test makes and removes the thousand files of a database, and ext4 takes ever longer to find an inode that was
    not freed just now: on a disk, that was most of the cost of the database tests. It is not pytest's own folder,
    because pytest removes the permissions that let `nobody` pass through."""
    with tempfile.TemporaryDirectory(prefix="tidegate-", dir=_memory(), ignore_cleanup_errors=True) as path:
        end_with_us(Path(path))
        yield Path(path)


def _memory() -> Path | None:
    """A file system in memory with room for the servers of all test processes, if there is one."""
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= _MEMORY_MIN_BYTES
    return memory if has_room and psutil.virtual_memory().available >= _MEMORY_MIN_BYTES else None


@contextmanager
def databases() -> Iterator[Databases]:
    with folder() as home:
        chosen = {**postgres.NOT_DURABLE, **switched_off()}
        server = PostgresServer(home, settings=chosen, start_timeout_seconds=_start_timeout())
        server.start()
        _hash_passwords_once(server)
        try:
            with Databases(server) as found:
                yield found
        finally:
            server.stop()


@contextmanager
def shared_valkey() -> Iterator[ValkeyServer]:
    with folder() as home:
        server = ValkeyServer(home, settings=valkey.NOT_DURABLE, start_timeout_seconds=_start_timeout())
        server.start()
        try:
            yield server
        finally:
            server.stop()


def prepare(home: Path) -> None:
    """Puts the data of a migrated Postgres into a home that has none: a copy, which is faster than making it again."""
    made = _migrated_home()
    for name in (PostgresServer.name, f"{PostgresServer.name}.password"):
        subprocess.run(["cp", "-a", str(made / name), str(home / name)], check=True)


@cache
def _migrated_home() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="tidegate-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    home = Path(folder.name)
    end_with_us(home)
    server = PostgresServer(home, settings=postgres.NOT_DURABLE, start_timeout_seconds=_start_timeout())
    server.start()
    try:
        _hash_passwords_once(server)
        migrations.upgrade(server.url)
    finally:
        server.stop()
    return home


def _hash_passwords_once(server: PostgresServer) -> None:
    """And not 4,096 times at both ends of each of the thousands of connections that tests open."""
    password = urlsplit(server.url).password
    server.psql(f"SET scram_iterations = 1; ALTER ROLE {USER} PASSWORD '{password}'")


def _start_timeout() -> float:
    return pace.seconds(START_TIMEOUT_SECONDS)


def empty(redis_url: str) -> None:
    """Removes everything from that Redis."""
    _client(redis_url).flushall()


@cache
def _client(redis_url: str) -> redis.Redis:
    """Kept: connecting takes ten times as long as what it is used for."""
    client = redis.Redis.from_url(redis_url)
    atexit.register(client.close)
    return client
