"""A server that ends transactions idle for too long, as the one of our compose file does, spares those that spend long
on what they have read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import pytest
import sqlalchemy as sa

import ops.verify
from gateway.web.exporting import _begun
from ops.archive import files
from ops.archive.restoring import restore
from ops.verify import anew
from ops.verify.snapshot import Snapshot
from runtime.engine import create_engine
from runtime.partitions import EVENTS
from runtime.stored_fold.folding import Folding
from tests.integration.archiving import Closet, nothing

_IDLE_MS: Final = 200
_LONGER_SECONDS: Final = 0.6


@pytest.fixture(autouse=True)
async def _impatient(closet: Closet) -> AsyncIterator[None]:
    """From now on, new connections that do not override it get a short idle timeout."""
    hand = closet.watch.hand
    database = await hand.fetchval("SELECT quote_ident(current_database())")
    await hand.execute(f"ALTER DATABASE {database} SET idle_in_transaction_session_timeout = {_IDLE_MS}")
    yield
    await hand.execute(f"ALTER DATABASE {database} RESET idle_in_transaction_session_timeout")


class _Slow:
    """Does what a function does, and takes long the first time."""

    def __init__(self, does: Callable[..., Any]) -> None:
        self._does = does
        self._is_slow = True

    def __call__(self, *of: Any, **more: Any) -> Any:
        if self._is_slow:
            self._is_slow = False
            time.sleep(_LONGER_SECONDS)
        return self._does(*of, **more)


async def test_verify_may_be_busy_with_what_it_read(closet: Closet, monkeypatch: pytest.MonkeyPatch) -> None:
    async def pauses(snapshot: Snapshot, *_: Any) -> None:
        await snapshot.row("SELECT 1")
        await asyncio.sleep(_LONGER_SECONDS)
        await snapshot.row("SELECT 1")

    monkeypatch.setattr(ops.verify, "_CHECKS", (pauses, *ops.verify._CHECKS))
    assert (await closet.verified()).clean


async def test_archives_may_be_written_and_read_for_long(closet: Closet, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = await closet.kept()
    moved = await closet.put_away(step=_Slow(nothing))
    assert moved.of(EVENTS)
    monkeypatch.setattr(files, "check", _Slow(files.check))
    assert (await closet.verified(archive=closet.folder)).clean
    monkeypatch.setattr(files, "rows", _Slow(files.rows))
    await restore(closet.floor.database_url, closet.folder, nothing)
    assert await closet.kept() == kept


async def test_rebuilding_the_fold_may_take_long(closet: Closet, monkeypatch: pytest.MonkeyPatch) -> None:
    await closet.put_away()
    await closet.watch.hand.execute("UPDATE fold_position SET meaning = 'another', moved_at = 'epoch'")
    monkeypatch.setattr(anew, "Folding", _Slow(Folding))
    assert (await closet.verified(archive=closet.folder)).clean
    assert await closet.watch.hand.fetchval("SELECT meaning FROM fold_position") != "another"


async def test_an_export_may_wait_for_its_reader(closet: Closet) -> None:
    """For as long as TIDEGATE_EXPORT_STALL_SECONDS says, and no shorter."""
    engine = create_engine(closet.floor.database_url, pool_size=1)
    async with engine.connect() as connection:
        query = sa.select(sa.func.generate_series(1, 1_000))
        first, rows = await _begun(query, 60.0, connection)
        await asyncio.sleep(_LONGER_SECONDS)
        assert len(first) + sum([len(more) async for more in rows]) == 1_000
    await engine.dispose()
