"""The database's history (Alembic). `upgrade` brings a database to today's tables."""

from concurrent.futures import ThreadPoolExecutor
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
    turns; and inside an event loop, which it blocks."""
    # In a thread of its own: Alembic's run makes an event loop.
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(command.upgrade, _config(database_url), revision).result()


def head() -> str:
    """The newest migration's id."""
    revision = ScriptDirectory.from_config(_config("")).get_current_head()
    assert revision is not None
    return revision


def known() -> frozenset[str]:
    """The ids of all migrations of this release."""
    return frozenset(script.revision for script in ScriptDirectory.from_config(_config("")).walk_revisions())
