"""Credentials created in development, which production rejects: they are logged when a gateway process starts, so that
nobody wonders why they do not work. To fix this, erase and recreate the accounts, recreate the keys, and rotate the
webhooks' secrets.
"""

import asyncio
import logging
from typing import Final

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.webhooks import DELETED
from runtime.engine import VIEW_FAILED
from runtime.tables import accounts, api_keys, sessions, webhooks

_RETRY_SECONDS: Final = 1.0

_MADE: Final[dict[str, ColumnElement[bool]]] = {
    "accounts": accounts.c.development,
    "API keys": api_keys.c.development & ~api_keys.c.revoked,
    "sessions": sessions.c.development & sessions.c.closed.is_(None) & (sessions.c.expires_at > func.now()),
    "webhook secrets": webhooks.c.development & (webhooks.c.status != DELETED),
}

_log = logging.getLogger(__name__)


async def say_what_is_refused(engine: AsyncEngine) -> None:
    """Logs how many of each kind there are, as soon as Postgres is available."""
    while True:
        try:
            async with engine.connect() as connection:
                counts = {
                    what: await connection.scalar(select(func.count()).where(made)) for what, made in _MADE.items()
                }
        except VIEW_FAILED:
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        if found := ", ".join(f"{count} {what}" for what, count in counts.items() if count):
            _log.warning("made in development, and refused in production: %s", found)
        return
