"""`tidegate migrate`: brings the database to today's tables."""

import click

from runtime import migrations
from runtime.settings import settings


@click.command()
def migrate() -> None:
    """Bring the database (DATABASE_URL) to today's tables.

    Safe to run again, and by several at once: they take turns.
    """
    migrations.upgrade(settings().database_url)
    click.echo(f"The database is at {migrations.head()}.")
