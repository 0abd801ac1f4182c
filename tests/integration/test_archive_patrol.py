"""Rows written by hand when the beginning of the log is archived: what can be compared still is, what cannot is let be;
and what nobody has looked at yet is not archived."""

from __future__ import annotations

import re
from typing import Final

import pytest

from runtime.partitions import EVENTS
from tests.integration.archiving import EACH, Closet, asked

_OF_ARCHIVED: Final = "SELECT id FROM commands WHERE seq + event_count <= $1 ORDER BY id DESC LIMIT 1"


@pytest.fixture
async def first_seq(closet: Closet) -> int:
    """The patrol has folded more than what is archived in one window."""
    await closet.put_away(asked(before_seq=EACH + 1))
    assert await closet.watch.hand.fetchval("SELECT min(seq) > $1 FROM log_digests", EACH + 1)
    return await closet.first_seq()


async def test_writes_that_change_nothing_are_no_difference(closet: Closet, first_seq: int) -> None:
    hand = closet.watch.hand
    command_id = await hand.fetchval(_OF_ARCHIVED, first_seq)
    assert command_id is not None
    await hand.execute("UPDATE commands SET status = status WHERE id = $1", command_id)
    await hand.execute("UPDATE events SET actor = actor WHERE seq = $1", first_seq)
    await closet.watch.go()
    assert await closet.watch.open() == []
    assert await hand.fetchval("SELECT count(*) FROM suspects") == 0
    assert (await closet.put_away()).of(EVENTS)


async def test_what_is_beyond_the_archive_is_compared(closet: Closet, first_seq: int) -> None:
    hand, floor = closet.watch.hand, closet.floor
    posted = await floor.post(floor.place(1, MUG=1))
    await floor.drain()
    await closet.watch.go()
    seq = await closet.last_seq()
    await hand.execute("UPDATE commands SET event_count = 2 WHERE id = $1", posted)
    await hand.execute("UPDATE events SET actor = 'eve' WHERE seq = $1", seq)
    await closet.watch.go()
    assert await closet.watch.open() == [("commands", str(posted)), ("events", str(seq))]


@pytest.mark.parametrize("table", ["events", "commands"])
async def test_what_nobody_has_looked_at_yet_is_not_archived(closet: Closet, table: str) -> None:
    """Afterwards nobody could."""
    await closet.watch.hand.execute(f"UPDATE {table} SET seq = seq WHERE seq = (SELECT min(seq) FROM {table})")
    moved = await closet.put_away()
    assert moved.of(EVENTS) == []
    assert re.search("1 events or commands were written by hand", moved.stopped_because[0]), moved.stopped_because
    await closet.watch.go()
    assert (await closet.put_away()).of(EVENTS)
