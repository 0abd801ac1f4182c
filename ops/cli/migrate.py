"""`tidegate migrate`: brings the database up to date."""

from contextlib import suppress

import click
import redis.exceptions

from runtime import migrations
from runtime.server_versions import require_redis
from runtime.settings import settings


@click.command()
def migrate() -> None:
    """Migrate the database (DATABASE_URL) to this release's tables, if Postgres and Redis (REDIS_URL) are new enough.
    Safe to repeat, and to run several times at once: they take turns.
    """
    config = settings()
    with suppress(redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):  # it may start later
        require_redis(config.redis_url)
    migrations.upgrade(config.database_url)
    click.echo(f"The database is at {migrations.head()}.")
