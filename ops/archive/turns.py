"""One at a time is at the archive, to move something into it or to read all of it."""

from __future__ import annotations

from typing import Any, Final

import asyncpg

_TAKE: Final = "SELECT pg_try_advisory_lock(7431984410314)"  # any number, as long as it is always this one


class HeldBack(Exception):
    """Somebody else needs what was to be archived; the text says who."""


async def take_turn(connection: asyncpg.Connection[Any]) -> None:
    """Takes the turn until the connection is closed. Raises HeldBack."""
    if not await connection.fetchval(_TAKE):
        raise HeldBack("another `tidegate archive`, or a `tidegate verify --with-archive`, is running")
