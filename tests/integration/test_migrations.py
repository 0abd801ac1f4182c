"""Migrations: they make the tables that the code knows, from nothing or from what there was, once, one at a time."""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from domain.catalogue import ChangeProduct
from domain.orders import ConfirmOrder
from domain.tasks import follows_from
from gateway.catalogue.product_query import ProductsQuery
from gateway.catalogue.search import search
from runtime import migrations, tables
from runtime.database import asyncpg_dsn
from runtime.engine import create_engine
from runtime.envelope import read_request
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.servers import Databases

_TIDEGATE: Final = Path(sys.executable).with_name("tidegate")


async def _differences(database_url: str) -> list[Any]:
    """What a new migration would have to change to arrive at `runtime.tables`."""

    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(
            connection, opts={"compare_server_default": True, "compare_type": True, "target_metadata": tables.metadata}
        )
        return list(compare_metadata(context, tables.metadata))

    engine = create_engine(database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(compare)
    finally:
        await engine.dispose()


async def _ask(database_url: str, question: str) -> list[tuple[Any, ...]]:
    engine = create_engine(database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(text(question))]
    finally:
        await engine.dispose()


async def _upgrade(database_url: str) -> None:
    # In a thread: Alembic's run makes an event loop of its own.
    await asyncio.to_thread(migrations.upgrade, database_url)


async def test_they_make_the_tables_that_the_code_knows(databases: Databases) -> None:
    with databases.empty() as url:
        await _upgrade(url)
        assert await _differences(url) == []
        assert await _ask(url, "SELECT version_num FROM alembic_version") == [(migrations.head(),)]


async def test_a_difference_would_be_seen(database_url: str) -> None:
    await _upgrade(database_url)
    assert await _differences(database_url) == []
    engine = create_engine(database_url, pool_size=1)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE stock ALTER COLUMN on_hand TYPE bigint"))
    await engine.dispose()
    assert await _differences(database_url)


async def test_running_them_again_changes_nothing(database_url: str) -> None:
    engine = create_engine(database_url, pool_size=1)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE event_counter SET last_seq = 7"))
    await engine.dispose()
    await _upgrade(database_url)
    assert await _ask(database_url, "SELECT last_seq FROM event_counter") == [(7,)]


@pytest.mark.campaign
async def test_several_at_once_take_turns(databases: Databases) -> None:
    with databases.empty() as url:
        commands = [
            await asyncio.create_subprocess_exec(_TIDEGATE, "migrate", env={**os.environ, "DATABASE_URL": url})
            for _ in range(3)
        ]
        assert await asyncio.gather(*(command.wait() for command in commands)) == [0, 0, 0]
        assert await _differences(url) == []
        assert await _ask(url, "SELECT only_row, last_seq FROM event_counter") == [(1, 0)]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO stock VALUES ('MUG', 1, 2)",
        "INSERT INTO stock VALUES ('MUG', 1, -1)",
        "INSERT INTO stock VALUES ('MUG', -1, 0)",
        "WITH made AS (INSERT INTO products VALUES"
        " (gen_random_uuid(), 'mug', 'A mug', '', NULL, 'active', 1, now(), now()) RETURNING id)"
        " INSERT INTO variants SELECT 'MUG', id, '', -1, 'GBP', NULL, NULL, NULL, '{}', true, true, now(), now()"
        " FROM made",
        "INSERT INTO variants VALUES"
        " ('MUG', gen_random_uuid(), '', 1, 'GBP', NULL, NULL, NULL, '{}', true, true, now(), now())",
        "INSERT INTO products VALUES (gen_random_uuid(), 'mug', 'A mug', '', NULL, 'active', 1, now(), now()),"
        " (gen_random_uuid(), 'mug', 'Another', '', NULL, 'active', 1, now(), now())",
        "INSERT INTO categories VALUES (gen_random_uuid(), 'up', 'Up', gen_random_uuid(), 0, 1, now(), now())",
        "INSERT INTO event_counter VALUES (2, 0)",
        "INSERT INTO event_counter VALUES (1, 0)",
    ],
)
async def test_the_tables_themselves_refuse_what_must_never_be(databases: Databases, statement: str) -> None:
    with databases.migrated() as url, pytest.raises(Exception, match="violates"):
        await _ask(url, statement)


# A shop as the first migration knew it: articles with a price each, some of whose SKUs are one slug, or hardly a name;
# mugs that came in, of which one order has some and another had some.
_EARLIER: Final = """
    INSERT INTO products VALUES ('MUG', 'A mug', 100, 'GBP'), ('A.B', 'X', 50, 'GBP'), ('A-B', '', 60, 'GBP'),
        ('A-B-2', 'Two', 70, 'EUR'), ('LONG', repeat('long ', 100), 0, 'GBP');
    INSERT INTO stock VALUES ('MUG', 10, 3), ('A.B', 0, 0), ('A-B', 0, 0), ('A-B-2', 0, 0), ('LONG', 0, 0);
    UPDATE event_counter SET last_seq = 4;
    CREATE TEMPORARY TABLE told AS SELECT * FROM (VALUES
        (1, 'ReceiveStock', 'stock.received', 'MUG', '{"sku":"MUG","quantity":10,"reference":null}'),
        (2, 'PlaceOrder', 'order.placed', '0170876e-8001-7000-8000-000000000001',
            '{"order_id":"0170876e-8001-7000-8000-000000000001","customer_id":"ann","currency":"GBP","total_minor":300,'
            '"lines":[{"sku":"MUG","quantity":3,"unit_price_minor":100}]}'),
        (3, 'PlaceOrder', 'order.placed', '0170876e-8001-7000-8000-000000000002',
            '{"order_id":"0170876e-8001-7000-8000-000000000002","customer_id":"ann","currency":"GBP","total_minor":90,'
            '"lines":[{"sku":"MUG","quantity":1,"unit_price_minor":90}]}'),
        (4, 'CancelOrder', 'order.cancelled', '0170876e-8001-7000-8000-000000000002',
            '{"order_id":"0170876e-8001-7000-8000-000000000002","customer_id":"ann",'
            '"lines":[{"sku":"MUG","quantity":1,"unit_price_minor":90}]}')
    ) AS told (seq, command, type, subject, data);
    INSERT INTO events SELECT seq, type, subject, ('00000000-0000-7000-8000-00000000000' || seq)::uuid, 'ann',
        timestamptz '2026-11-05T12:00:00Z' + seq * interval '1 hour', data::json FROM told;
    INSERT INTO commands SELECT ('00000000-0000-7000-8000-00000000000' || seq)::uuid, command, 'ann', now(), now(), 0,
        seq || '-1', 'applied', seq, 1, NULL, NULL, '' FROM told;
    INSERT INTO orders SELECT subject::uuid, 'ann', CASE seq WHEN 2 THEN 'placed' ELSE 'cancelled' END, 'GBP',
        (data::json->>'total_minor')::bigint, timestamptz '2026-11-05T12:00:00Z' + seq * interval '1 hour',
        timestamptz '2026-11-05T12:00:00Z' + CASE seq WHEN 2 THEN 2 ELSE 4 END * interval '1 hour'
        FROM told WHERE type = 'order.placed';
    INSERT INTO order_lines VALUES ('0170876e-8001-7000-8000-000000000001', 'MUG', 3, 100),
        ('0170876e-8001-7000-8000-000000000002', 'MUG', 1, 90);
"""


async def test_a_shop_of_the_first_days_goes_on(databases: Databases, redis_url: str) -> None:
    """What it sold is on sale, by events like any others, and everything is still as the log says."""
    with databases.empty() as url:
        await asyncio.to_thread(migrations.upgrade, url, "0001")
        connection = await asyncpg.connect(asyncpg_dsn(url))
        await connection.execute(_EARLIER)
        await connection.close()
        await _upgrade(url)
        assert await _differences(url) == []
        async with Shopfloor(url, redis_url) as floor:
            counts = await floor.verified()
            assert (counts["products"], counts["variants"], counts["orders"], counts["events"]) == (5, 5, 2, 14)
            slugs = await _ask(url, "SELECT sku, slug FROM variants JOIN products p ON p.id = product_id ORDER BY sku")
            assert [slug.startswith(sku.lower().replace(".", "-")) for sku, slug in slugs] == [True] * 5
            order = floor.place(0, MUG=7)
            await floor.post_all([order, ConfirmOrder(order.order_id), ConfirmOrder(_OLD_ORDER)])
            await floor.post(ChangeProduct(await _product_of(floor, "LONG"), {"name": "Shorter"}), actor=STAFF)
            await floor.drain()
            assert await _orders(floor) == {
                order.order_id: ("confirmed", 700),
                _OLD_ORDER: ("confirmed", 300),
                UUID("0170876e-8001-7000-8000-000000000002"): ("cancelled", 90),
            }
            assert await floor.stock("MUG") == (0, 0)
            counts = await floor.verified()
            assert counts["commands_applied"] == counts["commands"]


# Two orders as they were kept before lines had positions, and what the log said of them. Of the second's last line it
# says nothing.
_LINES_BY_SKU: Final = """
    INSERT INTO events
    SELECT seq, 'order.placed', '0170876e-8001-7000-8000-00000000000' || seq, gen_random_uuid(), 'ann', now(),
        format('{"order_id":"0170876e-8001-7000-8000-00000000000%s","lines":%s}', seq, lines)::json
    FROM (VALUES
        (1, '[{"sku":"MUG","quantity":1},{"sku":"ZEBRA","quantity":2},{"sku":"APPLE","quantity":3}]'),
        (2, '[{"sku":"ZEBRA","quantity":4},{"sku":"APPLE","quantity":5}]')
    ) AS told (seq, lines);
    INSERT INTO order_lines
    SELECT ('0170876e-8001-7000-8000-00000000000' || number)::uuid, sku, quantity, 100 FROM (VALUES
        (1, 'APPLE', 3), (1, 'MUG', 1), (1, 'ZEBRA', 2), (2, 'APPLE', 5), (2, 'LOST', 6), (2, 'ZEBRA', 4)
    ) AS lines (number, sku, quantity);
"""


async def test_lines_that_had_no_position_are_put_as_they_were_asked_for(databases: Databases) -> None:
    with databases.empty() as url:
        await asyncio.to_thread(migrations.upgrade, url, "0007")
        connection = await asyncpg.connect(asyncpg_dsn(url))
        await connection.execute(_LINES_BY_SKU)
        await connection.close()
        await _upgrade(url)
        assert await _differences(url) == []
        found = await _ask(
            url,
            "SELECT right(order_id::text, 1), position, sku, quantity, unit_price_minor FROM order_lines"
            " ORDER BY order_id, position",
        )
        assert found == [
            ("1", 0, "MUG", 1, 100),
            ("1", 1, "ZEBRA", 2, 100),
            ("1", 2, "APPLE", 3, 100),
            ("2", 0, "ZEBRA", 4, 100),
            ("2", 1, "APPLE", 5, 100),
            ("2", 2, "LOST", 6, 100),
        ]


def _accepted(command: list[object]) -> bytes:
    """An envelope as the mailboxes had it then."""
    envelope = [str(UUID(int=1)), "ann", False, 1, msgspec.Raw(msgspec.msgpack.encode(command)), None, None, b"16"]
    return msgspec.msgpack.encode(envelope)


_ADA: Final = str(UUID("01a20000-0000-7000-8000-0000000000ad"))
_GUEST_ORDER: Final = str(UUID("01a20000-0000-7000-8000-0000000000fe"))
_TOLD_OF_ADA: Final = ("ada@example.com", "Ada Lovelace", "$argon2id$old", "$argon2id$new", "whsec_hook", "key-hash")
_OF_ADA: Final[list[tuple[str, list[object], str, str, dict[str, object]]]] = [
    (
        "CreateAccount",
        [_ADA, "ada@example.com", "Ada", "customer", "$argon2id$old"],
        "account.created",
        _ADA,
        {"account_id": _ADA, "email": "ada@example.com", "name": "Ada", "role": "customer", "password_hash": None},
    ),
    (
        "ChangeAccount",
        [_ADA, "Ada Lovelace"],
        "account.changed",
        _ADA,
        {"account_id": _ADA, "name": "Ada Lovelace", "role": "customer", "epoch": 0},
    ),
    (
        "ChangePassword",
        [_ADA, 0, "$argon2id$new"],
        "account.password_changed",
        _ADA,
        {"account_id": _ADA, "epoch": 1, "password_hash": None},
    ),
    (
        "PlaceOrder",
        [_GUEST_ORDER, "guest:1", [["MUG", 1]], "ada@example.com"],
        "order.placed",
        _GUEST_ORDER,
        {
            "order_id": _GUEST_ORDER,
            "customer_id": "guest:1",
            "currency": "GBP",
            "total_minor": 100,
            "lines": [{"sku": "MUG", "quantity": 1, "unit_price_minor": 100}],
            "email": "ada@example.com",
        },
    ),
]


async def test_what_was_private_in_the_log_and_in_records_is_blanked(databases: Databases, redis_url: str) -> None:
    with databases.empty() as url:
        await asyncio.to_thread(migrations.upgrade, url, "0001")
        connection = await asyncpg.connect(asyncpg_dsn(url))
        await connection.execute(_EARLIER)
        await asyncio.to_thread(migrations.upgrade, url, "0007")
        first = await connection.fetchval("SELECT last_seq + 1 FROM event_counter")
        at = await connection.fetchval("SELECT max(occurred_at) FROM events")
        for seq, (kind, fields, event, subject, data) in enumerate(_OF_ADA, first):
            command_id = UUID(int=seq)
            await connection.execute(
                "INSERT INTO events VALUES ($1, $2, $3, $4, 'demo', $5, $6)",
                *(seq, event, subject, command_id, at, json.dumps(data)),
            )
            await connection.execute(
                "INSERT INTO commands VALUES ($1, $2, 'demo', $3, $3, 0, $4, 'applied', $5, 1, NULL, NULL, $6)",
                *(command_id, kind, at, f"{seq}-1", seq, _accepted([kind, *fields])),
            )
        await connection.execute("UPDATE event_counter SET last_seq = last_seq + $1", len(_OF_ADA))
        await connection.execute(
            "INSERT INTO accounts VALUES ($1, 'ada@example.com', 'Ada Lovelace', 'customer', true, 1, 'new', $2, $2)",
            *(_ADA, at),
        )
        await connection.execute(
            "INSERT INTO orders VALUES ($1, 'guest:1', 'placed', 'GBP', 100, $2, $2, 'ada@example.com')",
            *(_GUEST_ORDER, at),
        )
        await connection.execute("INSERT INTO order_lines VALUES ($1, 'MUG', 1, 100)", _GUEST_ORDER)
        await connection.execute("UPDATE stock SET reserved = reserved + 1 WHERE sku = 'MUG'")
        letters: list[tuple[str, list[object]]] = [
            *((kind, fields) for kind, fields, *_ in _OF_ADA),
            ("CreateApiKey", [_ADA, "scanner", "staff", ["orders:read"], "key-hash"]),
            ("RegisterWebhook", [_ADA, ["https://shop.example/", ["*"]], "whsec_hook"]),
            ("RotateWebhookSecret", [_ADA, "whsec_hook", datetime(2026, 11, 1, tzinfo=UTC)]),
        ]
        for place, (kind, fields) in enumerate(letters):
            letter = msgspec.msgpack.encode({b"v": b"1", b"e": _accepted([kind, *fields])})
            await connection.execute(
                "INSERT INTO dead_letters VALUES (0, $1, NULL, 'rule_raised', '', $2, now())", f"9-{place}", letter
            )
        await connection.close()
        await _upgrade(url)

        assert await _differences(url) == []
        for table, column in (("events", "data::text::bytea"), ("commands", "request"), ("dead_letters", "entry")):
            kept = b"".join(bytes(row[0]) for row in await _ask(url, f"SELECT {column} FROM {table}"))
            assert not [each for each in _TOLD_OF_ADA if each.encode() in kept], table
        requests = await _ask(url, "SELECT request FROM commands WHERE principal = 'demo' ORDER BY seq")
        assert [read_request(bytes(request))["type"] for (request,) in requests] == [kind for kind, *_ in _OF_ADA]
        assert await _ask(url, "SELECT email, name, development FROM accounts") == [
            ("ada@example.com", "Ada Lovelace", True)
        ]
        assert await _ask(url, "SELECT email FROM orders WHERE email IS NOT NULL") == [("ada@example.com",)]
        assert await _ask(url, "SELECT DISTINCT lost <> '{}' FROM dead_letters") == [(True,)]
        async with Shopfloor(url, redis_url) as floor:
            await floor.verified()


_OLD_ORDER: Final = UUID("0170876e-8001-7000-8000-000000000001")


async def _orders(floor: Shopfloor) -> dict[UUID, tuple[str, int]]:
    rows = await floor.pool.fetch("SELECT id, status, total_minor FROM orders")
    return {order_id: (status, total) for order_id, status, total in rows}


async def _product_of(floor: Shopfloor, sku: str) -> UUID:
    found = await floor.pool.fetchval("SELECT product_id FROM variants WHERE sku = $1", sku)
    return UUID(int=found.int)


async def test_an_idempotency_key_is_used_once_by_each_principal(database_url: str) -> None:
    (definition,) = (
        row[0]
        for row in await _ask(
            database_url, "SELECT indexdef FROM pg_indexes WHERE indexname = 'commands_idempotency_key'"
        )
    )
    assert "UNIQUE" in definition
    assert "(principal, idempotency_key)" in definition


# Products as they were kept before text was folded.
_UNFOLDED: Final = """
    INSERT INTO products (id, slug, name, description, status, version, created_at, updated_at)
    SELECT ('0170876e-8001-7000-8000-00000000000' || number)::uuid, 'p' || number, name, description, 'active', 1,
        now(), now()
    FROM (VALUES
        (1, 'Zebra', ''), (2, 'éclair', ''), (3, 'Crème brûlée', 'Smørrebrød'), (4, 'Керосиновая лампа', ''),
        (5, '红木灯笼', '')
    ) AS named (number, name, description)
"""


@pytest.mark.parametrize("locale", ["LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'", "LOCALE_PROVIDER libc"])
async def test_what_was_named_before_is_found_and_sorted_in_any_locale(databases: Databases, locale: str) -> None:
    with databases.empty(f"TEMPLATE template0 LOCALE 'C' {locale}") as url:
        await asyncio.to_thread(migrations.upgrade, url, "0012")
        connection = await asyncpg.connect(asyncpg_dsn(url))
        await connection.execute(_UNFOLDED)
        await connection.close()
        await _upgrade(url)
        assert await _differences(url) == []
        engine = create_engine(url, pool_size=1)
        try:
            async with engine.connect() as views:

                async def found(**asked: Any) -> list[int]:
                    page = await search(views, ProductsQuery.model_validate(asked))
                    return [product_id.int & 0xF for product_id in page.ids]

                assert await found(sort="name") == [3, 2, 1, 4, 5]
                assert await found(q="CREME") == await found(q="smorrebrod") == await found(q="brulle") == [3]
                assert await found(q="ЛАМПА") == await found(q="керосниовая") == [4]
                assert await found(q="灯笼") == await found(q="木灯") == [5]
        finally:
            await engine.dispose()


# A report that is queued and a file that is being brought in, as jobs kept their own runs; and one that is done.
_JOBS_WITH_LEASES: Final = """
    INSERT INTO events (seq, type, subject, command_id, actor, occurred_at, data)
    SELECT seq, 'job.requested', '0170876e-8001-7000-8000-00000000000' || seq,
        ('0170876e-8001-7abc-8000-00000000001' || seq)::uuid, 'ann', now(), '{}'::json
    FROM generate_series(1, 3) AS seq;
    INSERT INTO jobs (
        id, kind, params, requested_by, status, run, summary, created_at, updated_at,
        leases, attempts, due_at, progress_done, progress_total, checkpoint
    ) VALUES
    ('0170876e-8001-7000-8000-000000000001', 'report', '{}', 'ann', 'queued', 0, '{}', now(), now(),
        0, 0, NULL, 0, NULL, NULL),
    ('0170876e-8001-7000-8000-000000000002', 'import', '{}', 'ann', 'queued', 0, '{}', now(), now(),
        4, 2, 'infinity', 250, 3000, '{"line": 251}'),
    ('0170876e-8001-7000-8000-000000000003', 'import', '{}', 'ann', 'succeeded', 1, '{}', now(), now(),
        1, 1, NULL, 9, 9, '{"line": 10}');
    INSERT INTO job_rows (job_id, line, code, detail, particulars, fate)
    VALUES ('0170876e-8001-7000-8000-000000000002', 7, 'x', 'x', '{}', 'rejected');
"""


async def test_queued_jobs_are_carried_over_as_tasks(databases: Databases) -> None:
    with databases.empty() as url:
        await asyncio.to_thread(migrations.upgrade, url, "0022")
        connection = await asyncpg.connect(asyncpg_dsn(url))
        await connection.execute(_JOBS_WITH_LEASES)
        await _upgrade(url)
        found = await connection.fetch(
            "SELECT t.*, e.command_id, t.due_at = 'infinity' AS later"
            " FROM tasks t JOIN events e ON e.seq = t.created_seq ORDER BY created_seq"
        )
        progress = await connection.fetch("SELECT job_id::text, done, total, checkpoint FROM job_progress")
        await connection.close()
        names = ("kind", "subject", "state", "blocked", "runs", "attempts", "later", "lease_token")
        assert [tuple(row[name] for name in names) for row in found] == [
            ("report", "0170876e-8001-7000-8000-000000000001", "queued", False, 0, 0, False, None),
            ("import", "0170876e-8001-7000-8000-000000000002", "queued", False, 4, 2, True, None),
        ]
        for row in found:
            assert follows_from(UUID(int=row["id"].int), UUID(int=row["command_id"].int))
        assert [tuple(row) for row in progress] == [
            ("0170876e-8001-7000-8000-000000000002", 250, 3000, '{"line": 251}')
        ]
        assert await _ask(url, "SELECT outcome FROM job_rows") == [("rejected",)]
