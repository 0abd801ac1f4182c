"""Redis is replaced: mailboxes and positions are brought together again, and nothing posted afterwards is lost."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from ops.verify import verify
from runtime.database import asyncpg_dsn
from runtime.mailboxes.inbox import Inbox, entry_order
from runtime.mailboxes.redis_keys import stream_key
from runtime.mailboxes.rejoin import rejoin
from runtime.redis_client import connect
from runtime.redis_pipeline import Client

MAILBOX = 3
APPLIED = 40
AHEAD = "9999999999999-5"
"""A position that no clock will reach: every id that a new Redis assigns comes before it."""


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator["asyncpg.Pool[Any]"]:
    async with asyncpg.create_pool(asyncpg_dsn(database_url), min_size=0, max_size=2) as pool:
        yield pool


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    client = connect(redis_url)
    yield client
    await client.aclose()


async def position_at(pool: "asyncpg.Pool[Any]", position: str) -> None:
    await pool.execute("INSERT INTO mailboxes VALUES ($1, $2, $3)", MAILBOX, position, APPLIED)


async def post(client: Client, entry: str) -> str:
    """Adds an entry; returns its id."""
    added: Any = await client.xadd(stream_key(MAILBOX), {"v": "1", "e": entry})
    return str(added, "utf-8")


async def test_entries_that_a_replaced_redis_would_strand_are_read(
    pool: "asyncpg.Pool[Any]", client: Client, database_url: str, redis_url: str
) -> None:
    await position_at(pool, AHEAD)
    for number in range(3):
        await post(client, f"entry {number}")

    await rejoin(pool, client, Inbox(client, awake_milliseconds=1_000, read_max_bytes=1_000_000))

    found = await Inbox(client, awake_milliseconds=1_000, read_max_bytes=1_000_000).read(MAILBOX, AHEAD, 10)
    assert [entry.fields[b"e"] for entry in found] == [b"entry 0", b"entry 1", b"entry 2"]
    assert (await verify(database_url, redis_url, mailbox_count=16)).clean


async def test_draining_before_the_mailbox_has_rejoined_removes_nothing(
    pool: "asyncpg.Pool[Any]", client: Client, database_url: str, redis_url: str
) -> None:
    await position_at(pool, AHEAD)
    await post(client, "accepted meanwhile")
    inbox = Inbox(client, awake_milliseconds=1_000, read_max_bytes=1_000_000)

    identity = await pool.fetchval("SELECT identity FROM log_branches")
    assert await inbox.trim({MAILBOX: AHEAD}, identity) == [MAILBOX]
    await rejoin(pool, client, inbox)

    assert [entry.fields[b"e"] for entry in await inbox.read(MAILBOX, AHEAD, 10)] == [b"accepted meanwhile"]
    report = await verify(database_url, redis_url, mailbox_count=16)
    assert report.clean
    assert report.counts["mailboxes_rejoined"] == 1


async def test_an_empty_redis_continues_from_what_was_applied(
    pool: "asyncpg.Pool[Any]", client: Client, database_url: str, redis_url: str
) -> None:
    await position_at(pool, AHEAD)
    assert not (await verify(database_url, redis_url, mailbox_count=16)).clean

    inbox = Inbox(client, awake_milliseconds=1_000, read_max_bytes=1_000_000)
    assert (await rejoin(pool, client, inbox)).mended == [MAILBOX]

    assert (await verify(database_url, redis_url, mailbox_count=16)).clean
    added = await post(client, "new")
    assert entry_order(added) > entry_order(AHEAD)


async def test_mailboxes_in_step_are_left_alone(
    pool: "asyncpg.Pool[Any]", client: Client, database_url: str, redis_url: str
) -> None:
    added = [await post(client, "x") for _ in range(APPLIED + 2)]
    await position_at(pool, added[APPLIED - 1])

    await rejoin(pool, client, Inbox(client, awake_milliseconds=1_000, read_max_bytes=1_000_000))

    assert await client.xlen(stream_key(MAILBOX)) == APPLIED + 2
    assert (await verify(database_url, redis_url, mailbox_count=16)).clean
