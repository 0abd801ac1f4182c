"""Backlogs in Redis and Postgres, queried at each scrape. A source that cannot be queried is left out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from prometheus_client.metrics_core import Metric
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.tasks import TASK_DEAD, TASK_QUEUED
from gateway.views.reactions import lags, overdue_holds
from gateway.views.tasks import backlogs
from runtime.engine import VIEW_FAILED
from runtime.mailboxes.inbox import entry_order
from runtime.mailboxes.redis_keys import stream_key
from runtime.metrics.asked import (
    HOLDS_OVERDUE,
    MAILBOX_BYTES,
    MAILBOX_COMMANDS,
    MAILBOX_MAX_BYTES,
    MAILBOX_MAX_COMMANDS,
    MAILBOX_OLDEST_SECONDS,
    REACTION_FAILING,
    REACTION_LAG_EVENTS,
    REACTION_LAG_SECONDS,
    REDIS_DELAYED_FSYNCS,
    REDIS_MEMORY_BYTES,
    REDIS_MEMORY_MAX_BYTES,
    REDIS_UP,
    TASK_OLDEST_DUE_SECONDS,
    TASKS,
    TASKS_DUE,
)
from runtime.redis_client import REDIS_UNAVAILABLE, info
from runtime.redis_pipeline import Client
from runtime.settings import Settings

# How many of a mailbox's blocks of entries are sampled to estimate its size.
_BLOCKS_MEASURED: Final = 5

# For all queries to Postgres. A shortage of its connections must show in the scrape, not make it fail: scrapers time
# out after ten seconds by default.
_POSTGRES_SECONDS: Final = 3.0


async def asked(engine: AsyncEngine, redis: Client, config: Settings) -> list[Metric]:
    """The families of `runtime/metrics/asked.py`, with their current values."""
    families = [*_bounds(config), *await _mailboxes(redis, config.mailbox_count)]
    until = asyncio.get_running_loop().time() + _POSTGRES_SECONDS
    for ask in (_reactions, _tasks, partial(_holds, hold_seconds=config.hold_seconds)):
        with suppress(*VIEW_FAILED):
            async with asyncio.timeout_at(until):
                families += await ask(engine)
    return families


def _bounds(config: Settings) -> list[Metric]:
    """What a mailbox may hold, so that an alert can compare."""
    commands, size = MAILBOX_MAX_COMMANDS.family(), MAILBOX_MAX_BYTES.family()
    commands.add_metric([], config.mailbox_max_commands)
    size.add_metric([], config.mailbox_max_bytes)
    return [commands, size]


async def _mailboxes(redis: Client, count: int) -> list[Metric]:
    waiting, size, oldest = (each.family() for each in (MAILBOX_COMMANDS, MAILBOX_BYTES, MAILBOX_OLDEST_SECONDS))
    up = REDIS_UP.family()
    pipeline = redis.pipeline(transaction=False)
    for mailbox in range(count):
        pipeline.xlen(stream_key(mailbox))
        pipeline.xrange(stream_key(mailbox), count=1)
        pipeline.memory_usage(stream_key(mailbox), samples=_BLOCKS_MEASURED)
    try:
        answers = await pipeline.execute(raise_on_error=False)
        servers = await info(redis, "memory", "persistence")
    except REDIS_UNAVAILABLE:
        up.add_metric([], 0)
        return [up]
    up.add_metric([], 0 if None in servers else 1)
    now = time.time()
    for mailbox in range(count):
        length, first, size_bytes = answers[3 * mailbox : 3 * mailbox + 3]
        if isinstance(length, RedisError) or isinstance(first, RedisError):
            continue
        age = max(0.0, now - entry_order(first[0][0].decode())[0] / 1000) if first else 0.0
        waiting.add_metric([str(mailbox)], length)
        oldest.add_metric([str(mailbox)], age)
        if not isinstance(size_bytes, RedisError):  # some hosted servers forbid the command
            size.add_metric([str(mailbox)], size_bytes or 0)
    return [up, waiting, size, oldest, *_servers([server for server in servers if server])]


def _servers(servers: Sequence[Mapping[str, Any]]) -> list[Metric]:
    """Redis's own figures; those that a server lacks or hides are left out. A cluster's memory is that of its fullest
    node."""
    fullest = max(servers, key=_fill, default={})
    families: list[Metric] = []
    for name, family in (("used_memory", REDIS_MEMORY_BYTES.family()), ("maxmemory", REDIS_MEMORY_MAX_BYTES.family())):
        if name in fullest:
            family.add_metric([], float(fullest[name]))
            families.append(family)
    waits = [float(server["aof_delayed_fsync"]) for server in servers if "aof_delayed_fsync" in server]
    if waits:
        delayed = REDIS_DELAYED_FSYNCS.family()
        delayed.add_metric([], sum(waits))
        families.append(delayed)
    return families


def _fill(server: Mapping[str, Any]) -> tuple[float, float]:
    """How full a server is: the share of its limit, if it has one, and the bytes used."""
    used, most = float(server.get("used_memory", 0)), float(server.get("maxmemory", 0))
    return (used / most if most else 0.0), used


async def _reactions(engine: AsyncEngine) -> list[Metric]:
    """The lag of reactions."""
    behind, late = REACTION_LAG_EVENTS.family(), REACTION_LAG_SECONDS.family()
    failing = REACTION_FAILING.family()
    for lag in await lags(engine):
        behind.add_metric([lag.kind], lag.events)
        late.add_metric([lag.kind], lag.seconds)
        failing.add_metric([lag.kind], lag.failures)
    return [behind, late, failing]


async def _tasks(engine: AsyncEngine) -> list[Metric]:
    """What waits in the outbox."""
    waiting, due, late = TASKS.family(), TASKS_DUE.family(), TASK_OLDEST_DUE_SECONDS.family()
    for backlog in await backlogs(engine):
        waiting.add_metric([backlog.kind, TASK_QUEUED], backlog.queued)
        waiting.add_metric([backlog.kind, TASK_DEAD], backlog.dead)
        due.add_metric([backlog.kind], backlog.due)
        late.add_metric([backlog.kind], backlog.oldest_due_seconds)
    return [waiting, due, late]


async def _holds(engine: AsyncEngine, hold_seconds: int) -> list[Metric]:
    overdue = HOLDS_OVERDUE.family()
    overdue.add_metric([], await overdue_holds(engine, hold_seconds))
    return [overdue]
