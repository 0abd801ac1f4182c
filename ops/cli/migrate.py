"""`tidegate migrate`: brings the database to today's tables."""

from contextlib import suppress

import click
import redis.exceptions

from runtime import migrations
from runtime.server_versions import require_redis
from runtime.settings import settings


@click.command()
def migrate() -> None:
    """Bring the database (DATABASE_URL) to today's tables, if it and Redis (REDIS_URL) are new enough.

    Safe to run again, and by several at once: they take turns.
    """
    config = settings()
    with suppress(redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):  # it may start later
        require_redis(config.redis_url)
    migrations.upgrade(config.database_url)
    click.echo(f"The database is at {migrations.head()}.")
