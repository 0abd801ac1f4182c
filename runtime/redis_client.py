"""Redis clients that fail at once and never send anything twice.

redis-py repeats a command by itself when the connection breaks, up to ten times. A repeated XADD is a second command,
so that is switched off here: whoever calls decides what a lost answer means. Only activations, which may come twice,
travel by a client that taskiq-redis makes.
"""

from typing import Any, Final

import redis.exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

CONNECT_TIMEOUT_SECONDS: Final = 1.0
ANSWER_TIMEOUT_SECONDS: Final = 3.0

# An extra for managed Redis. While it is on, redis-py (8.1) hands out pooled connections that were closed meanwhile, so
# that after a restart of Redis each of them fails once more.
NO_MAINTENANCE_NOTIFICATIONS: Final = MaintNotificationsConfig(enabled=False)

# Away, restarting, loading its file, out of memory, read-only, or without the scripts it was told a moment ago: nothing
# that the caller did wrong.
REDIS_UNAVAILABLE: Final[tuple[type[BaseException], ...]] = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.NoScriptError,
    OSError,
)


def connect(redis_url: str, *, answer_timeout: float | None = ANSWER_TIMEOUT_SECONDS) -> Redis:
    """A client; it connects when first used. `answer_timeout` in seconds, None for one that listens."""
    return Redis.from_url(
        redis_url,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=answer_timeout,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        maint_notifications_config=NO_MAINTENANCE_NOTIFICATIONS,
    )


def database_number(client: Redis) -> int:
    """Which of the server's databases the client uses."""
    arguments: dict[str, Any] = client.get_connection_kwargs()  # type: ignore[no-untyped-call]  # it has no types here
    return arguments.get("db") or 0


async def is_durable(client: Redis) -> bool | None:
    """Whether the server writes every command to disk before it answers, and evicts none; None if it will not say."""
    try:
        config = await client.config_get("append*", "maxmemory*")
    except redis.exceptions.ResponseError:
        return None
    evicts_streams = config.get("maxmemory") != "0" and str(config.get("maxmemory-policy")).startswith("allkeys")
    return config.get("appendonly") == "yes" and config.get("appendfsync") == "always" and not evicts_streams
