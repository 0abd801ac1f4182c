"""What is left of the log and its archive are the log together: `verify` reads both, and says what it lacks."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from ops.archive import moving
from ops.archive.files import BadArchive
from ops.archive.reading import SCHEMA
from ops.verify import Incomplete, anew, verify
from runtime.database import asyncpg_dsn, create_job_pool
from runtime.partitions import EVENTS
from runtime.settings import Settings
from runtime.stored_fold.storing import begin_again
from tests import pace
from tests.integration.archiving import EACH, Closet, asked, in_small_partitions
from tests.integration.patrolling import alarms
from tests.integration.shopfloor import Shopfloor
from tests.integration.test_verify_cli import write_history
from workers.partitioning import Partitioner
from workers.patrol.patrol import Patrol

_COMMAND: Final = Path(sys.executable).with_name("tidegate")
_TIMEOUT_SECONDS: Final = 60


async def test_verify_with_the_archive_says_what_it_said_before(closet: Closet) -> None:
    before = await closet.verified(from_zero=True)
    moved = await closet.put_away()
    after = await closet.verified(archive=closet.folder)
    assert after.clean, after.differences
    assert after.counts == before.counts | {"events_archived": moved.of(EVENTS)[-1].end - 1}
    plain = await closet.verified()
    assert plain.clean, plain.differences
    left = {name: count for name, count in before.counts.items() if not name.startswith("commands")}
    assert plain.counts.items() >= (left | {"events_folded_before": await closet.watch.folded()}).items()
    assert await closet.floor.pool.fetchval("SELECT to_regnamespace($1)", SCHEMA) is None


async def test_verify_with_the_archive_finds_what_the_stored_fold_hides(closet: Closet) -> None:
    """Somebody altered a row and the stored fold alike."""
    await closet.put_away()
    await closet.watch.hand.execute("UPDATE stock SET on_hand = on_hand + 1 WHERE sku = 'MUG'")
    await closet.watch.hand.execute("UPDATE folded_balances SET posted = posted + 1 WHERE key = 'MUG'")
    assert (await closet.verified()).clean
    assert (await closet.verified(archive=closet.folder)).found == {"stock": 1}


async def test_verify_says_what_it_cannot_see(closet: Closet) -> None:
    await closet.put_away()
    first_seq = await closet.first_seq()
    with pytest.raises(Incomplete, match=f"begins at seq {first_seq}.*--with-archive"):
        await closet.verified(from_zero=True)


async def test_a_fold_that_cannot_be_rebuilt_is_kept_and_reported_once(
    closet: Closet, caplog: pytest.LogCaptureFixture
) -> None:
    await closet.put_away()
    await closet.watch.hand.execute("UPDATE fold_position SET meaning = 'another', moved_at = 'epoch'")
    folded = await closet.watch.folded()
    assert [await closet.watch.patrol.round() for _ in range(3)] == [None] * 3
    assert await closet.watch.folded() == folded
    assert len([said for said in alarms(caplog) if "cannot fold those before seq" in said]) == 1
    with pytest.raises(Incomplete):
        await closet.verified()


async def test_verifying_with_the_archive_rebuilds_the_fold_and_the_patrol_goes_on(
    closet: Closet, caplog: pytest.LogCaptureFixture
) -> None:
    await closet.put_away()
    first_seq, before = await closet.first_seq(), await closet.watch.folded()
    await closet.watch.hand.execute("UPDATE fold_position SET meaning = 'another', moved_at = 'epoch'")
    await closet.watch.hand.execute("UPDATE folded_balances SET posted = posted + 1")
    assert (await closet.verified(archive=closet.folder)).clean
    assert first_seq - 1 <= await closet.watch.folded() <= before
    await closet.floor.post(closet.floor.place(1, MUG=1))
    await closet.floor.drain()
    await closet.watch.go()
    assert (alarms(caplog), await closet.watch.open()) == ([], [])
    plain = await closet.verified()
    assert (plain.clean, plain.counts["events_folded_before"]) == (True, await closet.last_seq())


async def test_rebuilding_the_fold_in_many_windows_keeps_the_invoice_numbers(
    closet: Closet, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anew, "_WINDOW_MAX_EVENTS", 1)
    await closet.put_away()
    numbers = await closet.watch.hand.fetchval("SELECT numbers FROM fold_position")
    await closet.watch.hand.execute("UPDATE fold_position SET meaning = 'another', moved_at = 'epoch'")
    assert (await closet.verified(archive=closet.folder)).clean
    await closet.watch.go()
    assert (alarms(caplog), await closet.watch.open()) == ([], [])
    assert await closet.watch.hand.fetchval("SELECT numbers FROM fold_position") == numbers


async def test_a_shop_that_differs_is_not_folded_again(closet: Closet) -> None:
    await closet.put_away()
    await closet.watch.hand.execute("UPDATE fold_position SET meaning = 'another', moved_at = 'epoch'")
    await closet.watch.hand.execute("UPDATE stock SET on_hand = on_hand + 1 WHERE sku = 'MUG'")
    assert not (await closet.verified(archive=closet.folder)).clean
    assert await closet.watch.hand.fetchval("SELECT meaning FROM fold_position") == "another"


async def test_a_fold_interrupted_within_the_archived_events_continues_only_with_the_archive(closet: Closet) -> None:
    """As after a rebuild that was killed: the events that follow are not in the database."""
    await closet.put_away()
    await closet.watch.hand.execute("UPDATE fold_position SET meaning = 'another', moved_at = 'epoch'")
    connection = await asyncpg.connect(asyncpg_dsn(closet.floor.database_url))
    await begin_again(connection)
    await connection.close()
    assert await closet.watch.patrol.round() is None
    assert await closet.watch.folded() == 0
    assert (await closet.verified(archive=closet.folder)).clean
    await closet.watch.go()
    assert await closet.watch.open() == []


async def test_an_altered_or_missing_file_is_named(closet: Closet) -> None:
    moved = await closet.put_away()
    path = closet.folder / moved.manifests[1].file
    said = path.read_bytes()
    path.write_bytes(gzip.compress(gzip.decompress(said).replace(b"MUG", b"JUG")))
    with pytest.raises(BadArchive, match=f"{path.name} is not what was written"):
        await closet.verified(archive=closet.folder)
    path.unlink()
    with pytest.raises(BadArchive, match=path.name):
        await closet.verified(archive=closet.folder)
    path.with_name(path.name + ".manifest.json").unlink()
    with pytest.raises(BadArchive, match=f"the events from {EACH + 1} up to {moved.of(EVENTS)[-1].end}"):
        await closet.verified(archive=closet.folder)


def _tidegate(closet: Closet, *arguments: str) -> subprocess.CompletedProcess[str]:
    floor = closet.floor
    environment = {
        **os.environ,
        "DATABASE_URL": floor.database_url,
        "REDIS_URL": floor.redis_url,
        "TIDEGATE_MAILBOX_COUNT": str(floor.mailbox_count),
    }
    return subprocess.run(
        [_COMMAND, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=pace.seconds(_TIMEOUT_SECONDS),
    )


@pytest.mark.campaign
async def test_the_commands_say_what_they_found(closet: Closet) -> None:
    done = await asyncio.to_thread(
        _tidegate, closet, "archive", "--dry-run", "--to", str(closet.folder), "--before-seq", "9"
    )
    assert done.returncode == 0, done.stderr
    assert "requests about it may still be repeated" in done.stdout
    assert (await asyncio.to_thread(_tidegate, closet, "archive", "--to", str(closet.folder))).returncode == 2
    await closet.put_away()
    first_seq = await closet.first_seq()
    done = await asyncio.to_thread(_tidegate, closet, "verify", "--from-zero")
    assert done.returncode == 1
    assert f"Error: the log begins at seq {first_seq}" in done.stderr
    done = await asyncio.to_thread(_tidegate, closet, "verify", "--json", "--with-archive", str(closet.folder))
    assert (done.returncode, json.loads(done.stdout)["clean"]) == (0, True), done.stderr


@pytest.mark.campaign
@pytest.mark.timeout(900)
async def test_a_shop_of_a_hundred_thousand_orders(floor: Shopfloor, tmp_path: Path) -> None:
    each = 10_000
    await in_small_partitions(floor, each)
    await write_history(floor.database_url, 100_000)
    partitioner = Partitioner(Settings().model_copy(update={"log_partition_max_events": each}), floor.pool)
    await partitioner.make()
    pool = await create_job_pool(floor.database_url, size=1, job_max_seconds=600)
    patrol = Patrol(Settings(), pool)
    while (found := await patrol.round()) is None or not found.is_all:
        pass
    pool.terminate()
    await floor.pool.execute("UPDATE reactions SET position = last_seq FROM event_counter")
    before = await verify(floor.database_url, floor.redis_url, mailbox_count=floor.mailbox_count, from_zero=True)
    moved = await moving.archive(
        floor.database_url, tmp_path, asked(before_seq=10**9), dry_run=False, step=lambda name, done: None
    )
    assert [part.rows for part in moved.of(EVENTS)] == [each] * 10
    after = await verify(floor.database_url, floor.redis_url, mailbox_count=floor.mailbox_count, archive=tmp_path)
    assert after.clean, after.differences
    assert after.counts == before.counts | {"events_archived": 10 * each}


async def test_the_command_puts_back_what_it_moved(closet: Closet) -> None:
    await closet.put_away()
    back = "archive", "--restore", "--to", str(closet.folder)
    done = await asyncio.to_thread(_tidegate, closet, *back, "--dry-run")
    assert (done.returncode, await closet.first_seq() > 1) == (2, True), "nothing is restored by a dry run"
    done = await asyncio.to_thread(_tidegate, closet, *back)
    assert done.returncode == 0, done.stderr
    assert "events are back" in done.stdout
    assert await closet.first_seq() == 1
