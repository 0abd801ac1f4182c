"""What older releases wrote is carried over: their shops are complete after the migrations, and agree with the log."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
import pytest

from domain.catalogue import ChangeProduct
from domain.orders import ConfirmOrder
from domain.tasks import follows_from
from gateway.catalogue.product_query import ProductsQuery
from gateway.catalogue.search import search
from runtime import migrations
from runtime.database import asyncpg_dsn
from runtime.engine import create_engine
from runtime.envelope import read_request
from tests.integration.migrating import ask, differences, upgrade
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.servers import Databases

# A shop as the first migration knew it: articles with a price each, some with SKUs that make the same slug or with
# hardly a name; and received mugs, some reserved by one order and some released by another.
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


async def test_a_shop_of_the_first_release_continues(databases: Databases, redis_url: str) -> None:
    """Its articles are on sale, by ordinary events, and everything still agrees with the log."""
    with databases.empty() as url:
        await asyncio.to_thread(migrations.upgrade, url, "0001")
        connection = await asyncpg.connect(asyncpg_dsn(url))
        await connection.execute(_EARLIER)
        await connection.close()
        await upgrade(url)
        assert await differences(url) == []
        async with Shopfloor(url, redis_url) as floor:
            counts = await floor.verified()
            assert (counts["products"], counts["variants"], counts["orders"], counts["events"]) == (5, 5, 2, 14)
            slugs = await ask(url, "SELECT sku, slug FROM variants JOIN products p ON p.id = product_id ORDER BY sku")
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


# Two orders as they were stored before lines had positions, and their events in the log, which lacks the second one's
# last line.
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


@pytest.mark.campaign
async def test_lines_without_positions_get_the_order_in_which_they_were_asked_for(databases: Databases) -> None:
    with databases.empty() as url:
        await asyncio.to_thread(migrations.upgrade, url, "0007")
        connection = await asyncpg.connect(asyncpg_dsn(url))
        await connection.execute(_LINES_BY_SKU)
        await connection.close()
        await upgrade(url)
        assert await differences(url) == []
        found = await ask(
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


@pytest.mark.campaign
async def test_personal_data_in_the_log_and_in_records_is_blanked(databases: Databases, redis_url: str) -> None:
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
        await upgrade(url)

        assert await differences(url) == []
        for table, column in (("events", "data::text::bytea"), ("commands", "request"), ("dead_letters", "entry")):
            kept = b"".join(bytes(row[0]) for row in await ask(url, f"SELECT {column} FROM {table}"))
            assert not [each for each in _TOLD_OF_ADA if each.encode() in kept], table
        requests = await ask(url, "SELECT request FROM commands WHERE principal = 'demo' ORDER BY seq")
        assert [read_request(bytes(request))["type"] for (request,) in requests] == [kind for kind, *_ in _OF_ADA]
        assert await ask(url, "SELECT email, name, development FROM accounts") == [
            ("ada@example.com", "Ada Lovelace", True)
        ]
        assert await ask(url, "SELECT email FROM orders WHERE email IS NOT NULL") == [("ada@example.com",)]
        assert await ask(url, "SELECT DISTINCT lost <> '{}' FROM dead_letters") == [(True,)]
        async with Shopfloor(url, redis_url) as floor:
            await floor.verified()


_OLD_ORDER: Final = UUID("0170876e-8001-7000-8000-000000000001")


async def _orders(floor: Shopfloor) -> dict[UUID, tuple[str, int]]:
    rows = await floor.pool.fetch("SELECT id, status, total_minor FROM orders")
    return {order_id: (status, total) for order_id, status, total in rows}


async def _product_of(floor: Shopfloor, sku: str) -> UUID:
    found = await floor.pool.fetchval("SELECT product_id FROM variants WHERE sku = $1", sku)
    return UUID(int=found.int)


# Products as they were stored before text was folded.
_UNFOLDED: Final = """
    INSERT INTO products (id, slug, name, description, status, version, created_at, updated_at)
    SELECT ('0170876e-8001-7000-8000-00000000000' || number)::uuid, 'p' || number, name, description, 'active', 1,
        now(), now()
    FROM (VALUES
        (1, 'Zebra', ''), (2, 'éclair', ''), (3, 'Crème brûlée', 'Smørrebrød'), (4, 'Керосиновая лампа', ''),
        (5, '红木灯笼', '')
    ) AS named (number, name, description)
"""


@pytest.mark.campaign
@pytest.mark.parametrize("locale", ["LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'", "LOCALE_PROVIDER libc"])
async def test_older_names_are_found_and_sorted_in_any_locale(databases: Databases, locale: str) -> None:
    with databases.empty(f"TEMPLATE template0 LOCALE 'C' {locale}") as url:
        await asyncio.to_thread(migrations.upgrade, url, "0012")
        connection = await asyncpg.connect(asyncpg_dsn(url))
        await connection.execute(_UNFOLDED)
        await connection.close()
        await upgrade(url)
        assert await differences(url) == []
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


# A queued report, an import in progress, and a finished one, from when jobs kept their own leases.
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


@pytest.mark.campaign
async def test_queued_jobs_are_carried_over_as_tasks(databases: Databases) -> None:
    with databases.empty() as url:
        await asyncio.to_thread(migrations.upgrade, url, "0022")
        connection = await asyncpg.connect(asyncpg_dsn(url))
        await connection.execute(_JOBS_WITH_LEASES)
        await upgrade(url)
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
        assert await ask(url, "SELECT outcome FROM job_rows") == [("rejected",)]
