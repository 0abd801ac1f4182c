"""Redis clients that fail at once and never send anything twice, whether Redis is one server or a cluster.

redis-py retries a command when the connection breaks, up to ten times. A repeated XADD would be a second command, so
retries are off here, and the caller decides what a lost answer means.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import redis.exceptions
from redis.asyncio import Redis

from runtime import redis_url as redis_urls
from runtime.redis_cluster import Cluster, NodeUnavailable
from runtime.redis_connections import pool
from runtime.redis_pipeline import Client, Pipeline

ANSWER_TIMEOUT_SECONDS: Final = 3.0

# Redis is unavailable, restarting, loading its file, out of memory, read-only, or has lost scripts that were just
# loaded: none of this is the caller's fault.
REDIS_UNAVAILABLE: Final[tuple[type[BaseException], ...]] = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.NoScriptError,
    OSError,
)


def connect(redis_url: str, *, answer_timeout: float | None = ANSWER_TIMEOUT_SECONDS) -> Client:
    """A client that connects on first use. `answer_timeout` is in seconds; None for a client that listens."""

    def server(url: str) -> Client:
        client = Client(connection_pool=pool(url, answer_timeout=answer_timeout))
        client.auto_close_connection_pool = True
        return client

    cluster = redis_urls.read(redis_url)
    return server(redis_url) if cluster is None else Cluster(cluster, server)


async def as_far_as_possible(pipeline: Pipeline) -> list[Any]:
    """The pipeline's answers, with NodeUnavailable in place of those from an unavailable node of a cluster. Raises any
    other error, and NodeUnavailable if no node answered."""
    answers = await pipeline.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception) and not isinstance(answer, NodeUnavailable):
            raise answer
    return answers


_ALWAYS: Final = """#!lua flags=allow-oom
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
"""


def always(client: Redis, command: str, key: str, *arguments: Any) -> Any:
    """Runs a command, or adds it to a pipeline, in a way that Redis accepts even when it is out of memory. For the
    little that workers must write in order to empty the mailboxes, which frees memory."""
    return client.eval(_ALWAYS, 1, key, command, *arguments)


def database_number(client: Redis) -> int:
    """The number of the database that the client uses."""
    arguments: dict[str, Any] = client.get_connection_kwargs()  # type: ignore[no-untyped-call]  # it has no types here
    return arguments.get("db") or 0


async def info(client: Client, *sections: str) -> list[dict[str, Any] | None]:
    """These sections of each server's INFO, as far as it permits them; None for an unavailable server."""
    servers = await client.servers()
    return await asyncio.gather(*(_info(server, sections) for server in servers))


async def _info(server: Client, sections: Iterable[str]) -> dict[str, Any] | None:
    pipeline = server.pipeline(transaction=False)
    for section in sections:
        pipeline.info(section)
    try:
        answers = await pipeline.execute(raise_on_error=False)
    except REDIS_UNAVAILABLE:
        return None
    if any(isinstance(answer, REDIS_UNAVAILABLE) for answer in answers):  # loading, say
        return None
    return {name: value for answer in answers if isinstance(answer, dict) for name, value in answer.items()}


async def is_durable(client: Client) -> bool | None:
    """Whether every server writes each command to disk before answering, and evicts nothing; None if one does not
    say."""
    said = [await _is_durable(server) for server in await client.servers()]
    return None if None in said else all(said)


async def _is_durable(server: Redis) -> bool | None:
    try:
        config = await server.config_get("append*", "maxmemory*")
    except redis.exceptions.ResponseError:
        return None
    evicts_streams = config.get("maxmemory") != "0" and str(config.get("maxmemory-policy")).startswith("allkeys")
    return config.get("appendonly") == "yes" and config.get("appendfsync") == "always" and not evicts_streams
