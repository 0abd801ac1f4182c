"""Migrations run beside the code of earlier releases: what that says to Postgres (recorded, see `tests.releases`) is
answered by today's tables as it was by its own, and what it wrote agrees with the log."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from redis.asyncio import Redis

from runtime import migrations
from runtime.database import asyncpg_dsn
from tests.integration.shopfloor import Shopfloor
from tests.past import MAILBOXES
from tests.releases.replay import Otherwise, Replay, prepare
from tests.releases.schema import schema_of, taken_away
from tests.releases.wire import Recording
from tests.servers import Databases

RELEASES: Final = sorted((Path(__file__).parents[1] / "data" / "past").glob("*.wire.gz"))
NAMES: Final = [path.name.partition(".")[0] for path in RELEASES]


async def run(database_url: str, statement: str) -> None:
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    await connection.execute(statement)
    await connection.close()


def pause(recording: Recording, share: float) -> int:
    """The first pause after this share of all that was said."""
    return next(each for each in recording.pauses() if each >= share * len(recording.exchanges))


async def goes_on(recording: Recording, url: str, redis_url: str) -> None:
    """What was said agrees with the log, and this release applies what still waits."""
    async with Redis.from_url(redis_url) as client:
        for key, dumped in recording.keys.items():
            await client.restore(key, 0, dumped)
    async with Shopfloor(url, redis_url, mailbox_count=MAILBOXES) as floor:
        assert (await floor.verified())["mailbox_entries_waiting"] > 0
        await floor.drain()
        assert (await floor.verified())["mailbox_entries_waiting"] == 0


async def said_before_and_after(
    recording: Recording, url: str, pause: int, *changes: str, until: str = "head"
) -> list[Otherwise]:
    """Says all of it to an empty database, which is migrated (and changed further) in a pause."""
    await prepare(recording, url)
    with Replay(recording, url) as replay:
        otherwise = await asyncio.to_thread(replay.play, 0, pause)
        await asyncio.to_thread(migrations.upgrade, url, until)
        for change in changes:
            await run(url, change)
        return otherwise + await asyncio.to_thread(replay.play, pause, len(recording.exchanges))


@pytest.mark.parametrize(
    "share", [pytest.param(0.0, marks=pytest.mark.campaign), 0.5], ids=["all of it after", "half of it after"]
)
@pytest.mark.parametrize("path", RELEASES, ids=NAMES)
async def test_the_code_of_a_release_works_on_while_its_tables_are_migrated(
    path: Path, share: float, databases: Databases, redis_url: str
) -> None:
    """Over the connections and with the statements that it had prepared before. Then this release goes on."""
    recording = Recording.read(path)
    with databases.empty() as url:
        assert await said_before_and_after(recording, url, pause(recording, share)) == []
        await goes_on(recording, url, redis_url)


@pytest.mark.campaign
@pytest.mark.parametrize("path", RELEASES, ids=NAMES)
async def test_it_works_on_at_the_same_time(path: Path, databases: Databases, redis_url: str) -> None:
    """In the middle of its transactions, too."""
    recording = Recording.read(path)
    with databases.empty() as url:
        await prepare(recording, url)
        with Replay(recording, url) as replay:
            half = pause(recording, 0.5)
            assert await asyncio.to_thread(replay.play, 0, half) == []
            migrating = asyncio.create_task(asyncio.to_thread(migrations.upgrade, url))
            assert await asyncio.to_thread(replay.play, half, len(recording.exchanges)) == []
            await migrating
        await goes_on(recording, url, redis_url)


@pytest.mark.campaign
@pytest.mark.parametrize("revision", ["0027", "0028"])
async def test_it_works_on_a_schema_between_the_steps_of_a_migration(
    databases: Databases, redis_url: str, revision: str
) -> None:
    """The log's partitions are made in three."""
    recording = Recording.read(RELEASES[0])
    with databases.empty() as url:
        assert await said_before_and_after(recording, url, pause(recording, 0.5), until=revision) == []
        await asyncio.to_thread(migrations.upgrade, url)
        await goes_on(recording, url, redis_url)


# No statement of any release names it, and the primary key of `idempotency_keys` holds in its place.
REPLACED: Final = {
    "commands lacks a rule that ON CONFLICT may name:"
    " UNIQUE btree (principal, idempotency_key) WHERE (idempotency_key IS NOT NULL)"
}


@pytest.mark.parametrize("path", RELEASES, ids=NAMES)
async def test_a_migration_takes_nothing_away_from_the_code_of_a_release(path: Path, databases: Databases) -> None:
    """Also of what that code does seldom, and did not do while it was recorded."""
    with databases.empty() as before, databases.migrated() as after:
        await asyncio.to_thread(migrations.upgrade, before, Recording.read(path).revision)
        found = set(taken_away(await schema_of(before), await schema_of(after)))
        assert found - REPLACED == set()


@pytest.mark.campaign
async def test_what_the_migrations_before_the_first_release_took_away_is_found(databases: Databases) -> None:
    """Workers of 0020 could not apply any more from 0021 on, nor its background processes run jobs from 0023 on."""
    with databases.empty() as before, databases.empty() as after:
        await asyncio.to_thread(migrations.upgrade, before, "0020")
        await asyncio.to_thread(migrations.upgrade, after, "0023")
        found = set(taken_away(await schema_of(before), await schema_of(after)))
        assert {"event_counter.prices_seq is gone", "jobs.lease_until is gone", "job_rows.fate is gone"} <= found


# Changes as one might make them, and what they take away.
PLANTED: Final = {
    "ALTER TABLE orders DROP COLUMN email": "orders.email is gone",
    "ALTER TABLE job_rows RENAME COLUMN outcome TO result": "job_rows.outcome is gone",
    "ALTER TABLE reactions RENAME TO followers": "reactions.",
    "ALTER TABLE orders ADD COLUMN channel text NOT NULL": "orders.channel is new and has to be given",
    "ALTER TABLE events ALTER COLUMN version DROP DEFAULT": "events.version has to be given",
    "ALTER TABLE orders ALTER COLUMN email SET NOT NULL": "orders.email must not be null any more",
    "ALTER TABLE stock ALTER COLUMN on_hand TYPE bigint": "stock.on_hand was integer and is bigint",
    "ALTER TABLE orders ADD CONSTRAINT small CHECK (total_minor < 100)": "orders has a new rule: CHECK",
    "CREATE UNIQUE INDEX ON accounts (name)": "accounts has a new rule: UNIQUE btree (name)",
    "ALTER TABLE guards DROP CONSTRAINT guards_pkey": "guards lacks a rule that ON CONFLICT may name",
}


@pytest.mark.parametrize("change", PLANTED)
async def test_what_is_taken_away_is_found(database_url: str, change: str) -> None:
    before = await schema_of(database_url)
    await run(database_url, change)
    found = list(taken_away(before, await schema_of(database_url)))
    assert found
    assert found[0].startswith(PLANTED[change]), found


async def test_what_only_adds_takes_nothing_away(database_url: str) -> None:
    before = await schema_of(database_url)
    await run(
        database_url,
        "CREATE TABLE parcels (id uuid PRIMARY KEY, weight integer NOT NULL);"
        "ALTER TABLE orders ADD COLUMN channel text NOT NULL DEFAULT 'web', ADD COLUMN note text;"
        "ALTER TABLE accounts ALTER COLUMN role DROP NOT NULL; CREATE INDEX ON orders (status)",
    )
    assert list(taken_away(before, await schema_of(database_url))) == []


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE orders DROP COLUMN email",
        "ALTER TABLE orders ADD COLUMN channel text NOT NULL",
        "ALTER TABLE orders ADD CONSTRAINT small CHECK (total_minor < 100)",
        # It has the same columns, and answers otherwise.
        "CREATE FUNCTION ignore() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER ignores BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION ignore()",
    ],
)
@pytest.mark.campaign
async def test_code_that_breaks_on_the_migrated_schema_is_found(databases: Databases, change: str) -> None:
    """So the replay can fail."""
    recording = Recording.read(RELEASES[-1])
    with databases.empty() as url:
        assert await said_before_and_after(recording, url, 0, change)
