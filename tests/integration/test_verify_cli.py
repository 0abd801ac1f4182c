"""`tidegate verify`: its exit code, what it prints, and that its memory does not grow with the log."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from domain.limits import ORDER_MAX_LINES
from runtime.database import asyncpg_dsn
from tests import pace
from tests.integration.shopfloor import Shopfloor
from tests.servers import Databases

_TIDEGATE: Final = Path(sys.executable).with_name("tidegate")
_TIMEOUT_SECONDS: Final = 60
_BIG_TIMEOUT_SECONDS: Final = 900


def _environment(database_url: str, redis_url: str) -> dict[str, str]:
    return {**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url, "TIDEGATE_MAILBOX_COUNT": "4"}


def _run(floor: Shopfloor, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_TIDEGATE, "verify", *options],
        env=_environment(floor.database_url, floor.redis_url),
        capture_output=True,
        text=True,
        check=False,
        timeout=pace.seconds(_TIMEOUT_SECONDS),
    )


async def _verify(floor: Shopfloor, *options: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(_run, floor, *options)


async def test_it_exits_with_0_and_the_counts_or_with_1_and_the_differences(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    await floor.post_all(floor.place(0, MUG=1) for _ in range(4))
    await floor.drain()
    done = await _verify(floor, "--json")
    said: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, said["clean"], said["differences"]) == (0, True, [])
    assert said["counts"] == await floor.verified()
    assert said["counts"]["orders"] == 4

    await floor.pool.execute("UPDATE stock SET on_hand = 101 WHERE sku = 'MUG'")
    done = await _verify(floor, "--json")
    said = json.loads(done.stdout)
    assert (done.returncode, said["clean"], said["difference_counts"]) == (1, False, {"stock": 1})
    assert said["differences"] == [
        {
            "check": "stock",
            "subject": "MUG",
            "problem": "the table differs from the log",
            "table": {"on_hand": 101, "reserved": 4},
            "log": {"on_hand": 100, "reserved": 4},
        }
    ]


async def test_it_tells_people_what_is_wrong(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    order = floor.place(0, MUG=1)
    await floor.post(order)
    await floor.drain()
    await floor.pool.execute("UPDATE orders SET status = 'cancelled'")
    done = await _verify(floor)
    assert done.returncode == 1
    assert "Differences found" in done.stdout
    assert str(order.order_id) in done.stdout
    assert "the table differs from the log" in done.stdout


# A history as batches would have written it: a product with one variant, a receipt, then this many orders of one line,
# with one event each.
_HISTORY: Final = """
    INSERT INTO products VALUES ('00000000-0002-7000-8000-000000000001', 'mug', 'A mug', '', NULL, 'active', 2, 'epoch',
        'epoch');
    INSERT INTO variants VALUES ('MUG', '00000000-0002-7000-8000-000000000001', '', 100, 'GBP', NULL, NULL, NULL,
        '{{}}', true, true, 'epoch', 'epoch');
    INSERT INTO stock VALUES ('MUG', {orders}, {orders});
    UPDATE event_counter SET last_seq = {orders} + 3, last_at = 'epoch';
    CREATE TEMPORARY TABLE history AS
        SELECT n AS seq, ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS command_id,
            ('00000000-0001-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS order_id,
            'epoch'::timestamptz AS at
        FROM generate_series(4, {orders} + 3) n;
    INSERT INTO events VALUES
        (1, 'product.created', '00000000-0002-7000-8000-000000000001', '00000000-0000-7000-8000-000000000001', 'sam',
            'epoch', '{{"product_id":"00000000-0002-7000-8000-000000000001","slug":"mug","name":"A mug",'
            '"description":"","category_id":null,"status":"active"}}'),
        (2, 'product.variant_added', '00000000-0002-7000-8000-000000000001', '00000000-0000-7000-8000-000000000001',
            'sam', 'epoch', '{{"product_id":"00000000-0002-7000-8000-000000000001","sku":"MUG","title":"",'
            '"price_minor":100,"currency":"GBP","compare_at_minor":null,"weight_grams":null,"barcode":null,'
            '"attributes":{{}},"active":true,"product_status":"active"}}'),
        (3, 'stock.received', 'MUG', '00000000-0000-7000-8000-000000000003', 'sam', 'epoch',
            '{{"sku":"MUG","quantity":{orders},"reference":null}}');
    INSERT INTO commands VALUES
        ('00000000-0000-7000-8000-000000000001', 'CreateProduct', 'sam', 'epoch', 'epoch', 0, '1-1', 'applied', 1, 2,
            NULL, NULL, ''),
        ('00000000-0000-7000-8000-000000000003', 'ReceiveStock', 'sam', 'epoch', 'epoch', 0, '3-1', 'applied', 3, 1,
            NULL, NULL, '');
    INSERT INTO events SELECT seq, 'order.placed', order_id, command_id, 'ann', at,
        format('{{"order_id":"%s","customer_id":"ann","currency":"GBP","total_minor":100,'
            '"lines":[{{"sku":"MUG","quantity":1,"unit_price_minor":100}}]}}', order_id)::json FROM history;
    INSERT INTO commands SELECT command_id, 'PlaceOrder', 'ann', at, at, 0, seq || '-1', 'applied', seq, 1, NULL, NULL,
        '' FROM history;
    INSERT INTO orders (id, customer_id, status, currency, total_minor, placed_at, updated_at, placed_seq)
        SELECT order_id, 'ann', 'placed', 'GBP', 100, at, at, seq FROM history;
    INSERT INTO order_lines SELECT order_id, 0, 'MUG', 1, 100 FROM history;
"""


async def write_history(database_url: str, orders: int) -> None:
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    try:
        await connection.execute(_HISTORY.format(orders=orders))
    finally:
        await connection.close()


# A small process in between: a child's reported peak is never less than its parent's memory.
_MEASURE: Final = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.stdout.flush()
sys.stdout.buffer.write(done.stdout)
"""


def peak_memory(database_url: str, redis_url: str) -> tuple[dict[str, Any], int]:
    """The output of a run of the command, and its peak memory in bytes."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, _TIDEGATE, "verify", "--json"],
        env=_environment(database_url, redis_url),
        capture_output=True,
        text=True,
        check=False,
        timeout=pace.seconds(_BIG_TIMEOUT_SECONDS),
    )
    assert len(done.stdout.splitlines()) == 2, done.stderr
    peak, said = done.stdout.splitlines()
    return json.loads(said), int(peak) * (1 if sys.platform == "darwin" else 1024)


# Keeping that many more events, orders, lines or commands in memory would take tens of megabytes.
FEW_ORDERS, MANY_ORDERS = 5_000, 60_000
GROWTH_MAX_BYTES: Final = 8_000_000


@pytest.mark.campaign
async def test_its_memory_does_not_grow_with_the_log(databases: Databases, redis_url: str) -> None:
    peaks = []
    for orders in (FEW_ORDERS, MANY_ORDERS):
        with databases.migrated() as database_url:
            await write_history(database_url, orders)
            said, peak = await asyncio.to_thread(peak_memory, database_url, redis_url)
        assert (said["clean"], said["counts"]["orders"], said["counts"]["events"]) == (True, orders, orders + 3)
        peaks.append(peak)
    assert peaks[1] - peaks[0] < GROWTH_MAX_BYTES, peaks


LONG_ORDERS: Final = 1_000
LONG_MAX_BYTES: Final = 150 * 2**20


@pytest.mark.campaign
@pytest.mark.timeout(900)
async def test_its_memory_is_bounded_even_when_every_order_has_the_maximum_length(
    databases: Databases, redis_url: str
) -> None:
    """Each event has 130 KB: 5,000 at a time would be more than half a gigabyte."""
    others = [{"sku": f"MUG-{n}", "quantity": 0, "unit_price_minor": 100} for n in range(1, ORDER_MAX_LINES)]
    lines = json.dumps([{"sku": "MUG", "quantity": 1, "unit_price_minor": 100}, *others])
    with databases.migrated() as database_url:
        await write_history(database_url, LONG_ORDERS)
        connection = await asyncpg.connect(asyncpg_dsn(database_url))
        await connection.execute(
            "INSERT INTO order_lines SELECT id, n, 'MUG-' || n, 0, 100 FROM orders, generate_series(1, $1::int) n",
            len(others),
        )
        await connection.execute(
            "UPDATE events SET data = json_build_object('order_id', subject, 'customer_id', 'ann', 'currency', 'GBP',"
            " 'total_minor', 100, 'lines', $1::json) WHERE type = 'order.placed'",
            lines,
        )
        await connection.close()
        said, peak = await asyncio.to_thread(peak_memory, database_url, redis_url)
    # The lines beyond the first are for SKUs that were never put on sale, so the table lacks them.
    assert said["difference_counts"] == {"stock": len(others)}
    assert said["counts"]["orders"] == LONG_ORDERS
    assert peak < LONG_MAX_BYTES, f"{peak / 2**20:.0f} MiB"
