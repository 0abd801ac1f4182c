"""The archive's lock: only one process at a time moves something into the archive, or reads all of it."""

from __future__ import annotations

from typing import Any, Final

import asyncpg

_TAKE: Final = "SELECT pg_try_advisory_lock(7431984410314)"  # any number, as long as it is always this one


class HeldBack(Exception):
    """Something else still needs what was to be archived, or holds a lock; the text says what."""


async def take_turn(connection: asyncpg.Connection[Any]) -> None:
    """Takes the lock, until the connection is closed. Raises HeldBack."""
    if not await connection.fetchval(_TAKE):
        raise HeldBack("another `tidegate archive`, or a `tidegate verify --with-archive`, is running")
