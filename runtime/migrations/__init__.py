"""The database's history (Alembic). `upgrade` brings a database to today's tables."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory


def _config(database_url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["database_url"] = database_url
    return config


def upgrade(database_url: str, revision: str = "head") -> None:
    """Runs every migration the database has not seen, up to that one. Safe to run twice, and by two at once: they take
    turns."""
    command.upgrade(_config(database_url), revision)


def head() -> str:
    """The newest migration's id."""
    revision = ScriptDirectory.from_config(_config("")).get_current_head()
    assert revision is not None
    return revision
