"""Rebuilds the stored fold of archived events, which background processes cannot read. They continue from there."""

from __future__ import annotations

from typing import Final

import asyncpg

from runtime.database import PATIENT
from runtime.proof.report import Report
from runtime.proof.stored import POSITION, Position, held_position, meaning
from runtime.stored_fold.folding import Folding
from runtime.stored_fold.storing import begin_again, store, take_over
from runtime.stored_fold.window import read_window

_WINDOW_MAX_EVENTS: Final = 5_000
_WINDOW_MAX_BYTES: Final = 4_194_304

_PREFER: Final = "SELECT set_config('search_path', $1 || ', ' || current_setting('search_path'), false)"
_HOLD: Final = f"{POSITION} FOR UPDATE"


async def fold_anew(dsn: str, schema: str, archived_seq: int) -> None:
    """Folds the log, which is complete in this schema, at least up to the last archived event; does nothing if the
    stored fold is already beyond that."""
    connection = await asyncpg.connect(dsn, server_settings=PATIENT)
    try:
        await connection.execute(_PREFER, schema)
        while True:
            try:
                async with connection.transaction(isolation="repeatable_read"):
                    if await _fold_some(connection, archived_seq):
                        return
            except asyncpg.SerializationError:
                continue  # a background process held it
    finally:
        await connection.close()


async def _fold_some(connection: asyncpg.Connection[asyncpg.Record], archived_seq: int) -> bool:
    """Folds the next window; returns whether all archived events are folded."""
    held = await connection.fetchrow(_HOLD)
    base = held_position(held)
    if held["meaning"] != meaning() and not await take_over(connection, held["meaning"], base.seq):
        if not await begin_again(connection):
            return False
        base = Position()
    if base.seq >= archived_seq:
        return True
    window = await read_window(connection, base, max_events=_WINDOW_MAX_EVENTS, max_bytes=_WINDOW_MAX_BYTES)
    await store(connection, window, await Folding(connection, window, Report()).fold())
    return False
