"""Redis: can it be reached, is it new enough, and is what it confirms on disk."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec
import redis.asyncio as redis
from redis.exceptions import RedisError, ResponseError

from ops.console.failures import explanation
from ops.doctor.finding import Finding, clock, disk, failure, ok, warning
from runtime import redis_url as redis_urls
from runtime.redis_client import connect
from runtime.server_versions import REDIS_MIN_VERSION
from runtime.settings import Settings

_SETTINGS: Final = ("appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory", "maxmemory-policy", "dir")
_DURABLE: Final = (
    ("appendonly", "yes", "commands are in memory only"),
    ("appendfsync", "always", "a 202 is sent before its command is on disk"),
    (
        "no-appendfsync-on-rewrite",
        "no",
        "while its file is being rewritten, a 202 is sent before its command is on disk",
    ),
)


_LEVELS: Final = ("ok", "warning", "failure")


class Facts(msgspec.Struct, frozen=True):
    """Facts about a server: parts of INFO, and its settings, None if it does not tell. `ahead_seconds` is how far its
    clock is ahead of ours."""

    info: dict[str, Any]
    settings: dict[str, str] | None
    ahead_seconds: float


async def of_redis(config: Settings) -> list[Finding]:
    client = connect(config.redis_url)
    try:
        servers = [await ask(server) for server in await client.servers()]
    except (RedisError, OSError, TimeoutError) as error:
        said = explanation(error) or f"{type(error).__name__}: {error}"
        return [failure("redis", said, "make sure that it is running, and that REDIS_URL names it")]
    finally:
        await client.aclose()
    if not servers:
        return [failure("redis", "no node of the cluster has a slot", "assign the slots (CLUSTER ADDSLOTS)")]
    return [*_worst(judge(facts, config) for facts in servers), *judge_replicas(servers, config)]


def _worst(judged: Iterable[Iterable[Finding]]) -> list[Finding]:
    """The worst finding of each check among those of several servers."""
    worst: dict[str, Finding] = {}
    for finding in chain.from_iterable(judged):
        if _LEVELS.index(finding.level) > _LEVELS.index(worst.setdefault(finding.check, finding).level):
            worst[finding.check] = finding
    return list(worst.values())


def judge_replicas(servers: Sequence[Facts], config: Settings) -> Iterator[Finding]:
    """Whether a failover could lose accepted commands, or a lack of replicas would stop new ones."""
    wanted, fewest = config.accept_min_replicas, min(int(facts.info.get("connected_slaves", 0)) for facts in servers)
    there = "every node has" if len(servers) > 1 else "it has"
    if wanted == 0:
        if redis_urls.read(config.redis_url) is not None:
            yield warning(
                "redis replicas",
                "a replica that takes over may lack accepted commands",
                "set TIDEGATE_ACCEPT_MIN_REPLICAS to 1",
            )
    elif fewest < wanted:
        said = f"a server has {fewest} of the {wanted} replicas that must have a command: it accepts nothing"
        yield failure("redis replicas", said, "start more replicas, or lower TIDEGATE_ACCEPT_MIN_REPLICAS")
    elif fewest == wanted:
        said = f"{there} just as many as must have a command ({wanted}): when one is lost, nothing is accepted there"
        yield warning("redis replicas", said, "run one more replica of each than TIDEGATE_ACCEPT_MIN_REPLICAS")
    else:
        yield ok("redis replicas", f"{there} {fewest} or more, and {wanted} must have a command")


async def ask(client: redis.Redis) -> Facts:
    info = await client.info()
    sent = time.time()
    seconds, microseconds = await client.time()
    ahead = seconds + microseconds / 1_000_000 - (sent + time.time()) / 2
    try:
        settings: Any = await client.config_get(*_SETTINGS)
    except ResponseError:  # managed services may forbid it
        settings = None
    return Facts(info, settings, ahead)


def judge(facts: Facts, config: Settings) -> Iterator[Finding]:
    info = facts.info
    # Valkey says which Redis it is compatible with as well.
    name, version = ("Valkey", info["valkey_version"]) if "valkey_version" in info else ("Redis", info["redis_version"])
    if int(str(info["redis_version"]).partition(".")[0]) < REDIS_MIN_VERSION:
        yield failure("redis version", f"{name} {version}", f"upgrade to Redis {REDIS_MIN_VERSION}, Valkey 8 or newer")
    else:
        yield ok("redis version", f"{name} {version}")
    if info.get("role", "master") != "master":
        yield failure("redis role", "a replica, which accepts no writes", "set REDIS_URL to the primary")
    if facts.settings is None:
        yield warning(
            "redis durability",
            "it does not disclose its settings, so a 202 may promise too much",
            "make sure that it has appendonly yes, appendfsync always, and maxmemory-policy noeviction",
        )
    else:
        yield from _judge_settings(facts.settings)
    if info.get("aof_last_write_status", "ok") != "ok":
        yield failure("redis disk", "its last write to disk failed", "look at its log: is the disk full?")
    yield _memory(info, config)
    yield clock("redis clock", facts.ahead_seconds)
    folder = Path((facts.settings or {}).get("dir", ""))
    if folder.is_absolute() and folder.is_dir():  # it is on this machine
        yield disk("redis disk", folder)


def _judge_settings(settings: dict[str, str]) -> Iterator[Finding]:
    for name, good, otherwise in _DURABLE:
        found = settings.get(name, good)
        if found == good:
            yield ok(f"redis {name}", found)
        else:
            yield failure(f"redis {name}", f"{found}: {otherwise}", f"CONFIG SET {name} {good}, and in its file")
    policy = settings.get("maxmemory-policy", "noeviction")
    if policy == "noeviction":
        yield ok("redis maxmemory-policy", policy)
    else:
        said = f"{policy}: when memory is full, it drops accepted commands"
        yield failure("redis maxmemory-policy", said, "CONFIG SET maxmemory-policy noeviction, and in its file")


def _memory(info: dict[str, Any], config: Settings) -> Finding:
    most, used = int(info.get("maxmemory", 0)), int(info["used_memory"])
    if most == 0:
        return warning(
            "redis memory",
            "maxmemory is not set: it may use all memory until the system kills it",
            "set maxmemory; orders are refused before it is full",
        )
    said = f"{used / most:.0%} of {most / 2**20:.0f} MiB used"
    if used * 100 > most * config.redis_memory_max_percent:
        return failure(
            "redis memory", f"{said}: orders are refused", "raise maxmemory, or find out why workers lag behind"
        )
    return ok("redis memory", said)
