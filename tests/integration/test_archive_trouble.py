"""The archive when something is in its way: nothing is lost, and it can be repeated."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from uuid import uuid4

import asyncpg
import pytest

from ops.archive import files, moving
from ops.archive.files import BadArchive
from ops.archive.turns import HeldBack, take_turn
from runtime.database import asyncpg_dsn
from runtime.partitions import EVENTS
from tests import pace
from tests.integration.archiving import EACH, Closet, asked

_TIMEOUT_SECONDS: Final = 60


_KILLED: Final = """
import asyncio, os, pathlib, signal, sys
from datetime import UTC, datetime
from ops.archive import files, moving
from ops.archive.limits import Asked
url, folder, where, times = sys.argv[1:]
left = [int(times)]
def die(now):
    left[0] -= now == where
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
write, put = files.Writer.write, files.put
files.Writer.write = lambda self, rows: (write(self, rows), die("in the middle"))
files.put = lambda folder, manifest: (die("before the manifest"), put(folder, manifest))
moving._PAGE_ROWS = 3
asked = Asked(10**6, None, datetime.now(UTC))
asyncio.run(moving.archive(url, pathlib.Path(folder), asked, dry_run=False, step=lambda _, done: die(done)))
"""


@pytest.mark.parametrize(
    ("where", "times", "gone"),
    [
        ("in the middle", 5, 1),
        ("dropped", 2, 1),
        *(
            pytest.param(*case, marks=pytest.mark.campaign)
            for case in [("written", 2, 1), ("before the manifest", 1, 0), ("read back", 1, 0), ("archived", 2, 2)]
        ),
    ],
)
async def test_it_may_be_killed_anywhere_and_repeated(closet: Closet, where: str, times: int, gone: int) -> None:
    before = await closet.verified(from_zero=True)
    arguments = [sys.executable, "-c", _KILLED, closet.floor.database_url, str(closet.folder), where, str(times)]
    done = await asyncio.to_thread(
        subprocess.run, arguments, capture_output=True, check=False, timeout=pace.seconds(_TIMEOUT_SECONDS)
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert await closet.first_seq() == gone * EACH + 1
    assert (await closet.kept())[0] == gone * EACH + 1
    both = await closet.verified(archive=closet.folder)
    assert both.clean, both.differences
    assert both.counts == before.counts | {"events_archived": gone * EACH}
    await _free(closet)
    moved = await closet.put_away()
    assert moved.of(EVENTS)[0].start == gone * EACH + 1
    both = await closet.verified(archive=closet.folder)
    assert both.clean, both.differences
    assert both.counts == before.counts | {"events_archived": moved.of(EVENTS)[-1].end - 1}
    starts = [each.start for each in files.manifests(closet.folder, "events")]
    assert starts == list(range(1, moved.of(EVENTS)[-1].end - 1, EACH))


async def _free(closet: Closet) -> None:
    """Postgres has noticed that the killed one is gone."""
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    async with asyncio.timeout(pace.seconds(_TIMEOUT_SECONDS)):
        while await closet.floor.pool.fetchval(query):
            await asyncio.sleep(0.01)


async def test_a_file_that_cannot_be_read_back_leaves_everything_in_the_database(
    closet: Closet, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = files.Writer.finish

    def loses(writer: files.Writer) -> files.Content:
        finished = finish(writer)
        path = writer._path
        path.write_bytes(path.read_bytes()[:-20])
        return finished

    monkeypatch.setattr(files.Writer, "finish", loses)
    kept = await closet.kept()
    with pytest.raises(BadArchive):
        await closet.put_away()
    assert (await closet.kept(), await closet.first_seq()) == (kept, 1)
    assert files.manifests(closet.folder, "events") == []


async def test_a_partition_with_a_gap_is_not_archived(closet: Closet) -> None:
    await closet.floor.pool.execute("DELETE FROM events WHERE seq = 3")
    with pytest.raises(BadArchive, match="has 6 events where 7 should be"):
        await closet.put_away()
    assert await closet.first_seq() == 1


async def test_another_shop_keeps_its_archive_elsewhere(closet: Closet) -> None:
    await closet.put_away(asked(before_seq=EACH + 1))
    (manifest,) = files.manifests(closet.folder, "events")
    path = closet.folder / (manifest.file + ".manifest.json")
    path.write_text(path.read_text().replace(str(manifest.log), str(uuid4())))
    with pytest.raises(BadArchive, match="belongs to another log"):
        await closet.put_away()
    with pytest.raises(BadArchive, match="belongs to another log"):
        await closet.verified(archive=closet.folder)


async def test_only_one_is_at_the_archive(closet: Closet) -> None:
    other = await asyncpg.connect(asyncpg_dsn(closet.floor.database_url))
    await take_turn(other)
    with pytest.raises(HeldBack, match="is running"):
        await closet.put_away()
    with pytest.raises(HeldBack, match="is running"):
        await closet.verified(archive=closet.folder)
    await other.close()


async def test_it_waits_for_readers_of_the_log_without_blocking_batches(
    closet: Closet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pending lock request would queue every batch behind it until the reader is done."""
    waits = asyncio.Event()
    monkeypatch.setattr(moving, "LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr(moving, "LOCK_PAUSE_SECONDS", 0.05)
    reader = await asyncpg.connect(asyncpg_dsn(closet.floor.database_url))
    reading = reader.transaction()
    await reading.start()
    await reader.execute("SELECT FROM events")
    archiving = asyncio.create_task(
        closet.put_away(asked(before_seq=EACH + 1), step=lambda _, done: waits.set() if done == "read back" else None)
    )
    await waits.wait()
    for _ in range(3):
        await closet.floor.post(closet.floor.place(1, MUG=1))
        await closet.floor.drain()
    assert not archiving.done()
    await reading.rollback()
    assert len((await archiving).of(EVENTS)) == 1
    await reader.close()
    await closet.watch.go()
    assert (await closet.verified(archive=closet.folder)).clean


async def test_a_webhook_rewound_while_archiving_keeps_the_partition(closet: Closet) -> None:
    async def goes_back() -> None:
        connection = await asyncpg.connect(asyncpg_dsn(closet.floor.database_url))
        await connection.execute("INSERT INTO reactions (name, position, updated_at) VALUES ('webhook:x', 3, now())")
        await connection.close()

    def step(_: str, done: str) -> None:
        if done == "written":
            with ThreadPoolExecutor() as thread:
                thread.submit(asyncio.run, goes_back()).result()

    with pytest.raises(HeldBack, match="`webhook:x` has only reached seq 3"):
        await closet.put_away(step=step)
    assert await closet.first_seq() == 1
