"""Postgres: can it be reached, is it new enough, does it keep what it confirms, and does it have today's tables."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec

from ops.console.failures import explanation
from ops.doctor.finding import Finding, clock, disk, failure, ok, warning
from runtime import migrations
from runtime.database import CONNECT_TIMEOUT_SECONDS, asyncpg_dsn
from runtime.server_versions import POSTGRES_MIN_VERSION
from runtime.settings import Settings

_IN_CONF: Final = "set it in postgresql.conf, or with ALTER SYSTEM, and reload"

# A commit is on disk when it is confirmed; pages survive a crash in the middle of writing them.
_DURABLE: Final = (
    ("fsync", ("on",), "a crash of the machine loses or corrupts data"),
    ("full_page_writes", ("on",), "a crash of the machine may corrupt data"),
    ("synchronous_commit", ("on", "local", "remote_write", "remote_apply"), "a crash loses the latest commits"),
)

UNREACHABLE: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)

_MIGRATED: Final = "SELECT to_regclass('alembic_version') IS NOT NULL"


class Facts(msgspec.Struct, frozen=True):
    """Facts about a server. `settings` are strings, as SHOW prints them; `migration` is None for an empty database;
    `data_folder` is None if the server does not tell. `ahead_seconds` is how far its clock is ahead of ours."""

    settings: dict[str, str]
    in_recovery: bool
    migration: str | None
    ahead_seconds: float
    data_folder: str | None


async def of_postgres(config: Settings) -> list[Finding]:
    try:
        async with connected(config.database_url) as connection:
            facts = await ask(connection)
    except UNREACHABLE as error:
        return [failure("postgres", why(error), "make sure that it is running, and that DATABASE_URL names it")]
    return list(judge(facts, config))


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection for a few queries. Raises the errors in UNREACHABLE."""
    connection = await asyncpg.connect(asyncpg_dsn(database_url), timeout=CONNECT_TIMEOUT_SECONDS)
    try:
        yield connection
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_SECONDS)


def why(error: Exception) -> str:
    return explanation(error) or f"{type(error).__name__}: {error}"


async def ask(connection: asyncpg.Connection[Any]) -> Facts:
    names = ("server_version", "server_version_num", "server_encoding", "max_connections", "autovacuum")
    settings = dict(
        await connection.fetch(
            "SELECT name, current_setting(name) FROM unnest($1::text[]) AS name",
            [*names, *(name for name, _, _ in _DURABLE)],
        )
    )
    sent = time.time()
    theirs = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
    ahead = theirs - (sent + time.time()) / 2
    try:
        data_folder = await connection.fetchval("SHOW data_directory")
    except asyncpg.InsufficientPrivilegeError:
        data_folder = None
    migrated = await connection.fetchval(_MIGRATED)
    return Facts(
        settings=settings,
        in_recovery=await connection.fetchval("SELECT pg_is_in_recovery()"),
        migration=await connection.fetchval("SELECT version_num FROM alembic_version") if migrated else None,
        ahead_seconds=ahead,
        data_folder=data_folder,
    )


def judge(facts: Facts, config: Settings) -> Iterator[Finding]:
    settings = facts.settings
    if int(settings["server_version_num"]) // 10_000 < POSTGRES_MIN_VERSION:
        yield failure("postgres version", settings["server_version"], f"upgrade to {POSTGRES_MIN_VERSION} or newer")
    else:
        yield ok("postgres version", settings["server_version"])
    if facts.in_recovery:
        yield failure("postgres role", "a standby, which accepts no writes", "set DATABASE_URL to the primary")
    if settings["server_encoding"] != "UTF8":
        yield failure("postgres encoding", settings["server_encoding"], "create the database with ENCODING 'UTF8'")
    for name, good, otherwise in _DURABLE:
        if settings[name] in good:
            yield ok(f"postgres {name}", settings[name])
        else:
            yield failure(f"postgres {name}", f"{settings[name]}: {otherwise}", f"{name} = on: {_IN_CONF}")
    if settings["autovacuum"] != "on":
        yield failure("postgres autovacuum", "off: tables grow without bound", f"autovacuum = on: {_IN_CONF}")
    yield _migrations(facts.migration)
    yield _connections(int(settings["max_connections"]), config)
    yield clock("postgres clock", facts.ahead_seconds)
    if facts.data_folder is not None and Path(facts.data_folder).is_dir():  # it is on this machine
        yield disk("postgres disk", Path(facts.data_folder))


def _migrations(migration: str | None) -> Finding:
    head = migrations.head()
    if migration == head:
        return ok("migrations", f"at {head}, the newest")
    if migration is None:
        return failure("migrations", "the database is empty", "run `tidegate migrate`")
    if migration in migrations.known():
        return failure("migrations", f"at {migration}, not yet at {head}", "run `tidegate migrate`")
    return failure("migrations", f"at {migration}, which this release does not know", "upgrade Tidegate here as well")


def _connections(most: int, config: Settings) -> Finding:
    wanted = (
        config.gateway_processes * config.database_pool_size
        + config.worker_processes * config.batch_concurrency
        + config.background_processes * (config.background_pool_size + config.job_concurrency)
    )
    said = f"max_connections is {most}; with these settings, the processes of one machine use about {wanted}"
    if wanted > most * 0.8:
        return warning("postgres connections", said, f"raise max_connections, or use smaller pools: {_IN_CONF}")
    return ok("postgres connections", said)
