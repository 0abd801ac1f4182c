"""The archive: what is moved there is complete, and events that are still needed stay."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from ops.archive import files
from ops.archive.lines import FORMATS
from runtime.partitions import COMMANDS, EVENTS, first_id
from tests.integration.archiving import EACH, Closet, asked


async def test_what_is_archived_is_no_longer_in_the_database_and_whole_in_the_files(closet: Closet) -> None:
    before = [
        tuple(row) for row in await closet.floor.pool.fetch("SELECT *, data::text AS said FROM events ORDER BY seq")
    ]
    last_seq = await closet.last_seq()
    moved = await closet.put_away()
    whole = last_seq // EACH
    of_events = moved.of(EVENTS)
    assert [each.rows for each in of_events] == [EACH] * whole, moved.stopped_because
    assert whole > 3
    assert await closet.first_seq() == whole * EACH + 1
    assert await closet.kept() == list(range(whole * EACH + 1, last_seq + 1))
    assert files.manifests(closet.folder, "events") == of_events
    archived = []
    for manifest in of_events:
        path = closet.folder / manifest.file
        said = path.read_bytes()
        assert (len(said), hashlib.sha256(said).hexdigest()) == (manifest.bytes, manifest.sha256)
        archived += [json.loads(line) for line in gzip.decompress(said).splitlines()]
    assert [each["seq"] for each in archived] == [row[0] for row in before[: whole * EACH]]
    assert [each["data"] for each in archived] == [json.loads(row[-1]) for row in before[: whole * EACH]]
    assert not [*closet.folder.glob("*.part")]
    # Trade goes on, and so does verifying.
    await closet.floor.post(closet.floor.place(1, MUG=1))
    await closet.floor.drain()
    await closet.watch.go()
    assert await closet.watch.open() == []


async def test_commands_follow_their_events(closet: Closet) -> None:
    pool = closet.floor.pool
    last = await closet.floor.post(closet.floor.place(1, MUG=1), key="key-last")
    await closet.floor.drain()
    await closet.watch.go()
    await closet.caught_up()
    before = {row["id"]: tuple(row) for row in await pool.fetch("SELECT * FROM commands")}
    assert len(await pool.fetch("SELECT FROM idempotency_keys")) == 2
    moved = await closet.put_away()
    gone = moved.of(COMMANDS)
    assert len(gone) > 1
    assert sum(each.rows for each in gone) > 5
    archived = [row for each in gone for row in files.rows(closet.folder / each.file, "commands")]
    assert [before[row[0]] for row in archived] == archived
    left = await pool.fetch("SELECT id, seq FROM commands")
    assert {row["id"] for row in left} == before.keys() - {row[0] for row in archived}
    assert max(row[8] for row in archived) < await closet.first_seq()
    assert await pool.fetchval("SELECT commands_since FROM log_start") == first_id(gone[-1].end)
    assert "are not archived" in moved.stopped_because[1]
    # Keys are kept as long as their commands.
    assert [row["command_id"] for row in await pool.fetch("SELECT command_id FROM idempotency_keys")] == [last]


async def test_commands_whose_requests_may_be_repeated_stay(closet: Closet) -> None:
    moved = await closet.put_away(asked(before_seq=10**6, young=timedelta(days=365 * 30)))
    assert moved.of(COMMANDS) == []
    assert "requests about its commands may still be repeated" in moved.stopped_because[1]


async def _too_late(closet: Closet) -> None:
    """Nothing is verified yet, as after an upgrade."""
    await closet.watch.hand.execute("UPDATE fold_position SET meaning = 'another'")


async def _verified_to(closet: Closet) -> None:
    await closet.watch.hand.execute("UPDATE fold_position SET seq = $1", 2 * EACH - 1)


async def _reaction(closet: Closet) -> None:
    await closet.watch.hand.execute(
        "INSERT INTO reactions (name, position, active, updated_at) VALUES ('webhook:x', $1, false, now())",
        2 * EACH - 1,
    )


async def _task(closet: Closet) -> None:
    await closet.watch.hand.execute(
        "INSERT INTO tasks (id, kind, subject, payload, created_seq, due_at, created_at, updated_at)"
        " VALUES (gen_random_uuid(), 'report', 'x', '{}', $1, now(), now(), now())",
        2 * EACH,
    )


async def _difference(closet: Closet) -> None:
    await closet.watch.hand.execute("UPDATE orders SET status = 'cancelled' WHERE id = $1", closet.watch.shop.order_id)
    await closet.watch.go()


@pytest.mark.parametrize(
    ("prepare", "archived", "because"),
    [
        (_too_late, 0, "verified the log only up to seq 0"),
        (_verified_to, 1, "verified the log only up to seq 13"),
        (_reaction, 1, "the reaction `webhook:x` has only reached seq 13"),
        (_task, 1, "the report task .* of seq 14 is not done"),
        (_difference, 0, "1 rows differ from the log"),
    ],
)
async def test_events_that_are_still_needed_are_not_archived(
    closet: Closet, prepare: Any, archived: int, because: str
) -> None:
    await prepare(closet)
    moved = await closet.put_away()
    assert len(moved.of(EVENTS)) == archived
    assert await closet.first_seq() == archived * EACH + 1
    assert re.search(because, moved.stopped_because[0]), moved.stopped_because


async def test_only_what_is_asked_goes(closet: Closet) -> None:
    assert (await closet.put_away(asked(before_seq=EACH))).manifests == []
    assert len((await closet.put_away(asked(before_seq=EACH + 1))).of(EVENTS)) == 1
    hour = timedelta(hours=1)
    old = "UPDATE events SET occurred_at = occurred_at - interval '2 hours' WHERE seq <= $1"
    await closet.floor.pool.execute(old, 3 * EACH)
    moved = await closet.put_away(asked(until=datetime.now(UTC) - hour))
    assert [each.end for each in moved.of(EVENTS)] == [2 * EACH + 1, 3 * EACH + 1]
    moved = await closet.put_away(asked(before_seq=10**6, young=hour))
    assert moved.of(EVENTS) == []
    assert "still be repeated" in moved.stopped_because[0]
    moved = await closet.put_away()
    assert "the log has not passed it yet" in moved.stopped_because[0]


async def test_a_dry_run_changes_nothing(closet: Closet) -> None:
    kept = await closet.kept()
    moved = await closet.put_away(dry_run=True)
    assert [each.start for each in moved.of(EVENTS)] == list(range(1, len(kept) - EACH + 1, EACH))
    assert (await closet.kept(), await closet.first_seq(), closet.folder.exists()) == (kept, 1, False)


@pytest.mark.parametrize(
    "data", ['{"a":1}', '{ "a" : "\\n\\u00e9é" }', '{\n "a": [1.0, 1e5]\r\n}', "null", '"\\u2028 "']
)
def test_lines_keep_every_byte(data: str) -> None:
    at = datetime(2026, 11, 29, 1, 2, 3, 4, UTC)
    row = (2**62, "x.y", "Ünï\n", uuid4(), "ann", at, 3, data)
    of_events = FORMATS["events"]
    line = of_events.line(row)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert of_events.row(line) == row
