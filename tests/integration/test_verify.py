"""The proof is only worth something if it finds what is wrong: faults planted by hand, each reported by name."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from domain.catalogue import ACTIVE, ChangeVariant, CreateProduct, ProductFields, VariantFields
from domain.stock import ReceiveStock
from ops.verify import Report, parts, snapshot, verify
from ops.verify.snapshot import Snapshot
from runtime.database import asyncpg_dsn
from runtime.entities import ENTITIES
from tests.integration.planting import (
    IN_PARTS,
    PLANTED,
    Plant,
    change_an_outcome,
    change_the_pieces_on_hand,
    delete_an_order_line,
    give_back_more_than_was_sold,
    remove_a_waiting_command,
)
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.integration.smallshop import Copies, Shop, copies, dumped
from tests.servers import Databases


@pytest.fixture(scope="module")
async def shops(databases: Databases, _shared_redis_url: str) -> AsyncIterator[Copies]:
    async with copies(databases, _shared_redis_url) as made:
        yield made


@pytest.fixture
async def shop(redis_url: str, shops: Copies) -> AsyncIterator[Shop]:
    async with shops() as own:
        yield own


def found(report: Report) -> set[tuple[str, str, str]]:
    """Check, subject and problem of each difference."""
    return {(each["check"], each["subject"], each["problem"]) for each in report.differences}


async def test_an_intact_shop_is_clean_and_everything_is_counted(shop: Shop) -> None:
    counts = await shop.floor.verified()
    assert counts == {
        "mailbox_entries_applied": 29,
        "mailbox_entries_waiting": 1,
        "mailboxes_rejoined": 0,
        "events": 31,
        "stock_rows": 2,
        "allowances_rows": 0,
        "card_balances_rows": 0,
        "orders": 8,
        **{entity_table.table.name: 0 for entity_table in ENTITIES},
        "categories": 2,
        "products": 2,
        "variants": 2,
        "commands": 29,
        "commands_applied": 26,
        "commands_rejected": 1,
        "commands_repeated": 1,
        "commands_failed": 1,
        "tasks": 0,
    }


async def test_a_copy_lacks_what_expires_while_it_is_made(floor: Shopfloor, monkeypatch: pytest.MonkeyPatch) -> None:
    async def found_before() -> list[bytes]:
        return [b"expired", b"there"]

    await floor.redis.set("there", "1")
    monkeypatch.setattr(floor.redis, "keys", found_before)
    assert [key for key, _, _ in await dumped(floor.redis)] == [b"there"]


async def test_an_empty_shop_is_clean(floor: Shopfloor) -> None:
    counts = await floor.verified()
    assert set(counts.values()) == {0}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__.replace("_", " "))
async def test_a_planted_fault_is_found(shop: Shop, plant: Plant) -> None:
    expected = await plant(shop)
    report = await shop.report()
    assert not report.clean
    assert found(report) == expected


@pytest.mark.parametrize("plant", IN_PARTS, ids=lambda plant: plant.__name__.replace("_", " "))
async def test_with_more_skus_than_fit_every_fault_is_found_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, plant: Plant
) -> None:
    monkeypatch.setattr(parts, "KEYS_AT_ONCE", 1)
    async with Snapshot(asyncpg_dsn(shop.floor.database_url)) as read:
        assert len(await parts.parts_of(read)) == 2
    assert (await shop.floor.verified())["stock_rows"] == 2
    expected = await plant(shop)
    report = await shop.report()
    assert found(report) == expected
    assert sum(report.document()["difference_counts"].values()) == len(report.differences) >= len(expected)


async def test_the_events_of_one_thing_may_span_several_blocks(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "BLOCK_ROWS", 1)
    await shop.floor.verified()
    expected = await give_back_more_than_was_sold(shop)
    assert found(await shop.report()) == expected


async def test_streams_of_few_rows_share_a_connection(database_url: str) -> None:
    connections = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    async with Snapshot(asyncpg_dsn(database_url)) as open_snapshot:
        (before,) = await open_snapshot.row(connections)
        streams = [open_snapshot.blocks(f"SELECT {number} AS number") for number in range(3)]
        assert [(await anext(stream))[0]["number"] for stream in streams] == [0, 1, 2]
        assert await open_snapshot.row(connections) == (before,)


@pytest.mark.parametrize("rows", [0, 1, 63, 64, 65, 128, 200])
async def test_a_stream_has_all_rows(database_url: str, rows: int) -> None:
    async with Snapshot(asyncpg_dsn(database_url)) as open_snapshot:
        blocks = [block async for block in open_snapshot.blocks("SELECT generate_series(1, $1::int)", rows)]
    assert [row[0] for block in blocks for row in block] == [*range(1, rows + 1)]


async def test_a_product_created_and_changed_in_one_batch_moves_no_price(floor: Shopfloor) -> None:
    product_id = floor.new_id()
    variants = (VariantFields("CUP", 300, "GBP"),)
    await floor.post(CreateProduct(product_id, ProductFields("cup", "Cup", status=ACTIVE), variants), actor=STAFF)
    await floor.post(ChangeVariant(product_id, "CUP", {"price_minor": 310}), actor=STAFF)
    await floor.drain(0)
    assert await floor.pool.fetchval("SELECT coalesce(max(seq), 0) FROM guards WHERE name = 'prices'") == 0
    await floor.verified()


async def test_every_fault_is_found_among_others(shop: Shop) -> None:
    faults = [change_the_pieces_on_hand, delete_an_order_line, change_an_outcome, remove_a_waiting_command]
    expected = set[tuple[str, str, str]]().union(*[await plant(shop) for plant in faults])
    assert found(await shop.report()) == expected


async def test_a_thousand_differences_are_counted_and_the_first_ones_shown(shop: Shop) -> None:
    await shop.floor.pool.execute(
        "INSERT INTO orders SELECT lpad(to_hex(n), 32, '0')::uuid, 'ann', 'placed', 'GBP', 0, now(), now(), NULL, -n"
        " FROM generate_series(1, 1000) n"
    )
    document = (await shop.report()).document()
    assert document["difference_counts"] == {"orders": 1_000}
    assert len(document["differences"]) == 50


async def test_commands_that_are_applied_while_it_looks_do_not_disturb_it(floor: Shopfloor) -> None:
    await floor.fill(MUG=100_000)
    posted = await floor.post_all(floor.place(number % 4, MUG=1) for number in range(1_000))

    async def trade() -> None:
        await asyncio.gather(*(floor.new_drainer().drain([mailbox]) for mailbox in range(4)))

    trading = asyncio.create_task(trade())
    looks = 0
    while not trading.done():
        await floor.verified()
        looks += 1
    await trading
    await floor.drain()  # for batches given up because `verify` held their mailbox
    assert looks > 0
    counts = await floor.verified()
    assert counts["orders"] == len(posted)


async def test_it_also_reads_mailboxes_beyond_today_s_count(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    await floor.post(floor.place(3, MUG=1))
    await floor.drain(3)
    await floor.post(ReceiveStock("MUG", 1), actor=STAFF, mailbox=3)
    assert (await verify(floor.database_url, floor.redis_url, mailbox_count=2)).counts["mailbox_entries_waiting"] == 1
