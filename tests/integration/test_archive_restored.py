"""What was archived comes back into the database, as it was."""

from __future__ import annotations

from typing import Any

import pytest

from ops.archive.files import BadArchive
from ops.archive.restoring import restore
from runtime.partitions import COMMANDS, EVENTS, first_id
from tests.integration.archiving import Closet, nothing


async def _rows(closet: Closet) -> list[list[tuple[Any, ...]]]:
    queries = ("SELECT *, data::text AS said FROM events ORDER BY seq", "SELECT * FROM commands ORDER BY id")
    return [[tuple(row) for row in await closet.floor.pool.fetch(query)] for query in queries]


async def test_what_was_archived_comes_back(closet: Closet) -> None:
    before, rows = await closet.verified(from_zero=True), await _rows(closet)
    moved = await closet.put_away()
    assert moved.of(COMMANDS)
    names: list[str] = []
    restored = await restore(closet.floor.database_url, closet.folder, lambda name, _: names.append(name))
    assert sorted(each.file for each in restored) == sorted(each.file for each in moved.manifests)
    assert len(names) == len(restored)
    assert await _rows(closet) == rows
    assert tuple(await closet.floor.pool.fetchrow("SELECT first_seq, commands_since FROM log_start")) == (
        1,
        first_id(0),
    )
    after = await closet.verified(from_zero=True)
    assert (after.clean, after.counts) == (True, before.counts)
    # A partition that came back is as any other, and trade goes on.
    indexes = await closet.floor.pool.fetch(
        "SELECT count(*) FROM pg_inherits i JOIN pg_index x ON x.indrelid = i.inhrelid"
        " WHERE i.inhparent = 'events'::regclass GROUP BY i.inhrelid"
    )
    assert len({row["count"] for row in indexes}) == 1
    await closet.floor.post(closet.floor.place(1, MUG=1))
    await closet.floor.drain()
    await closet.watch.go()
    assert await closet.watch.open() == []
    again = await closet.put_away()
    assert [each.file for each in again.manifests][: len(moved.of(EVENTS))] == [each.file for each in moved.of(EVENTS)]


async def test_nothing_comes_back_of_an_archive_that_is_not_whole(closet: Closet) -> None:
    moved = await closet.put_away()
    path = closet.folder / moved.of(EVENTS)[-1].file
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BadArchive, match=f"{path.name} is not what was written"):
        await restore(closet.floor.database_url, closet.folder, nothing)
    assert await closet.first_seq() == moved.of(EVENTS)[-1].end
    path.with_name(path.name + ".manifest.json").unlink()
    with pytest.raises(BadArchive, match="does not have the events before"):
        await restore(closet.floor.database_url, closet.folder, nothing)
    assert (await closet.verified()).clean
