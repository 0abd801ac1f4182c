"""Redis clients that fail at once and never send anything twice.

redis-py retries a command when the connection breaks, up to ten times. A repeated XADD would be a second command, so
retries are off here, and the caller decides what a lost answer means. Only activations, which may be delivered twice,
use a client made by taskiq-redis.
"""

import asyncio
import logging
import time
from typing import Any, Final
from weakref import WeakKeyDictionary

import redis.asyncio
import redis.exceptions
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from runtime.liveness import Liveness

_log = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS: Final = 1.0
ANSWER_TIMEOUT_SECONDS: Final = 3.0

# Maintenance notifications, for managed Redis, stay off: with them redis-py (8.1) hands out pooled connections that
# have been closed, so that after a restart of Redis each of them fails once.
NO_MAINTENANCE_NOTIFICATIONS: Final = MaintNotificationsConfig(enabled=False)

# Redis is unavailable, restarting, loading its file, out of memory, read-only, or has lost the scripts just loaded:
# none of it is the caller's fault.
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
    """A client that connects on first use. `answer_timeout` is in seconds; None for a client that listens."""
    return Redis.from_pool(
        Pool.from_url(redis_url, socket_timeout=answer_timeout, retry=Retry(NoBackoff(), 0), **connection_options())
    )


def connection_options() -> dict[str, Any]:
    """Arguments for redis-py's pools that all connections to Redis share."""
    return {
        "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "socket_keepalive": True,
        "socket_keepalive_options": Liveness.configured().tcp_options(),
        "maint_notifications_config": NO_MAINTENANCE_NOTIFICATIONS,
    }


class _Sending:
    """For redis-py's connections: sends what fits into the socket's buffer at once, and waits only for what does not.

    redis-py sends within `asyncio.wait_for`, a task of its own for every command. In Python 3.11 that swallows a
    cancellation which comes when all has just been sent, and a task that was to end goes on for ever.
    """

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        connection: Any = self
        if not connection.is_connected:
            await connection.connect_check_health(check_health=False)
        if check_health:
            await connection.check_health()
        writer = connection._writer
        try:
            writer.writelines([command] if isinstance(command, bytes) else command)
            if writer.transport.get_write_buffer_size():
                async with asyncio.timeout(connection.socket_timeout):
                    await writer.drain()
        except BaseException as error:  # half a command may have been sent
            await connection.disconnect(nowait=True)
            if isinstance(error, TimeoutError):
                raise redis.exceptions.TimeoutError("timeout while writing to Redis") from None
            if isinstance(error, OSError):
                raise redis.exceptions.ConnectionError(f"lost while writing to Redis: {error}") from error
            raise


class _Tcp(_Sending, redis.asyncio.Connection):
    pass


class _Tls(_Sending, redis.asyncio.SSLConnection):
    pass


class _Unix(_Sending, redis.asyncio.UnixDomainSocketConnection):
    pass


_CONNECTIONS: Final[dict[type, type]] = {
    kind: ours for ours in (_Tcp, _Tls, _Unix) for kind in ours.__bases__ if kind is not _Sending
}


class _Doubting:
    """For redis-py's pools: a connection that was idle for a moment is pinged before it is used. One that does not
    answer in time is reopened, and so are those that were idle at the same time (see `runtime.liveness`), each when it
    is taken from the pool: until then somebody else may be about to use it."""

    def __init__(self, connection_class: type = redis.asyncio.Connection, **more: Any) -> None:
        super().__init__(connection_class=_CONNECTIONS[connection_class], **more)  # type: ignore[call-arg]
        self._liveness = Liveness.configured()
        self._rests_since: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        self._silent_at = float("-inf")

    async def ensure_connection(self, connection: Any) -> None:
        rests_since = self._rests_since.get(connection)
        if rests_since is not None and connection.is_connected and not await self._can_be_used(connection, rests_since):
            await connection.disconnect(nowait=True)
        await super().ensure_connection(connection)  # type: ignore[misc]  # redis-py's pools have it

    async def _can_be_used(self, connection: Any, rests_since: float) -> bool:
        asked_at = time.monotonic()
        if rests_since <= self._silent_at:
            return False
        if asked_at - rests_since < self._liveness.idle_seconds or await self._answers(connection):
            return True
        _log.info("a connection to Redis was dead; opening another")
        self._silent_at = max(self._silent_at, asked_at)
        return False

    async def _answers(self, connection: Any) -> bool:
        try:
            async with asyncio.timeout(self._liveness.answer_seconds):
                await connection.send_command("PING", check_health=False)
                return await connection.read_response() in (b"PONG", "PONG")
        except (redis.exceptions.RedisError, TimeoutError, OSError):
            return False

    async def release(self, connection: Any) -> None:
        self._rests_since[connection] = time.monotonic()
        await super().release(connection)  # type: ignore[misc]


class Pool(_Doubting, ConnectionPool):
    """As many connections as are needed at once."""


class BlockingPool(_Doubting, BlockingConnectionPool):
    """A fixed number of connections; callers wait while all are in use."""


_ALWAYS: Final = """#!lua flags=allow-oom
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
"""


def always(client: Redis, command: str, key: str, *arguments: Any) -> Any:
    """Runs a command, or adds it to a pipeline, that Redis takes even when its memory is used up. For the little that
    workers must write so that the mailboxes are emptied, which makes room again."""
    return client.eval(_ALWAYS, 1, key, command, *arguments)


def database_number(client: Redis) -> int:
    """The number of the database that the client uses."""
    arguments: dict[str, Any] = client.get_connection_kwargs()  # type: ignore[no-untyped-call]  # it has no types here
    return arguments.get("db") or 0


async def is_durable(client: Redis) -> bool | None:
    """Whether the server writes every command to disk before answering, and evicts nothing; None if it does not say."""
    try:
        config = await client.config_get("append*", "maxmemory*")
    except redis.exceptions.ResponseError:
        return None
    evicts_streams = config.get("maxmemory") != "0" and str(config.get("maxmemory-policy")).startswith("allkeys")
    return config.get("appendonly") == "yes" and config.get("appendfsync") == "always" and not evicts_streams
