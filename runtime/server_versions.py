"""The oldest servers that Tidegate runs on. An older one would fail later, at the first statement or command that it
does not support, so `tidegate migrate` and `tidegate up` check first and say so in one sentence.
"""

from __future__ import annotations

from typing import Final

import redis
from sqlalchemy import Connection, text

from runtime.redis_url import any_server

POSTGRES_MIN_VERSION: Final = 17  # transaction_timeout
REDIS_MIN_VERSION: Final = 7  # Lua scripts with flags; Valkey reports itself as Redis 7.2
_ANSWER_TIMEOUT_SECONDS: Final = 2.0


class UnsupportedServer(Exception):
    """A server is too old; the message names it, its version, and the version required."""


def require_postgres(connection: Connection) -> None:
    """Raises UnsupportedServer if this Postgres is too old."""
    number = int(connection.scalar(text("SHOW server_version_num")))  # 170002 is 17.2
    if number // 10_000 < POSTGRES_MIN_VERSION:
        raise UnsupportedServer(
            f"Postgres (DATABASE_URL) is version {number // 10_000}.{number % 10_000}; "
            f"Tidegate needs {POSTGRES_MIN_VERSION} or newer."
        )


def require_redis(redis_url: str) -> None:
    """Raises UnsupportedServer if this Redis is too old, and redis-py's errors if it cannot be reached."""
    with redis.Redis.from_url(
        any_server(redis_url),
        protocol=2,  # the only one that the oldest servers support
        socket_connect_timeout=_ANSWER_TIMEOUT_SECONDS,
        socket_timeout=_ANSWER_TIMEOUT_SECONDS,
    ) as client:
        version = str(client.info("server")["redis_version"])
    if int(version.partition(".")[0]) < REDIS_MIN_VERSION:
        raise UnsupportedServer(
            f"Redis (REDIS_URL) is version {version}; Tidegate needs Redis {REDIS_MIN_VERSION} or Valkey 8, or newer."
        )
