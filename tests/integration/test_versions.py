"""Logs and mailboxes written by several releases: their readers get everything in today's form, and wait where a later
release begins."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from domain import versions
from domain.stock import ReceiveStock, StockReceived
from domain.versions import UnknownVersion
from gateway.realtime import packets
from gateway.views import log as views
from ops.verify import verify
from runtime.branches import read_branches
from runtime.engine import create_engine
from runtime.records import EventRecord
from runtime.settings import Settings
from tests import pace, versioned
from tests.integration.reacting import Told
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.integration.test_gateway_tail import SOON_SILENT, WITHIN, Watcher, tail_of
from workers.reactions.log_pages import read_page


@pytest.fixture
async def shop(floor: Shopfloor, monkeypatch: pytest.MonkeyPatch) -> Shopfloor:
    """Mugs were received under two releases, 5 each time: an event of each, and a waiting command of the first."""
    await floor.fill(MUG=0)
    versioned.received(monkeypatch)
    old = floor.envelope(versioned.first_command("MUG", 5), actor=STAFF)
    await floor.post_envelope(versioned.sealed(old, versioned.FIRST), floor.mailbox_of(ReceiveStock("MUG", 5)))
    await floor.drain()
    await floor.post(ReceiveStock("MUG", 5), actor=STAFF)
    await floor.drain()
    await floor.pool.execute(
        "UPDATE events SET version = 1, data = $1 WHERE seq = (SELECT min(seq) FROM events WHERE type = $2)",
        versioned.first_event("MUG", 5),
        StockReceived.type,
    )
    return floor


async def _later_release(floor: Shopfloor) -> int:
    """Makes the last event one of a later release; returns its seq."""
    seq: int = await floor.pool.fetchval(
        "UPDATE events SET version = 3 WHERE seq = (SELECT max(seq) FROM events) RETURNING seq"
    )
    return seq


_FROM_NOW_ON_BY_A_LATER_RELEASE = """
    CREATE FUNCTION raise_version() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN NEW.version := 3; RETURN NEW; END$$;
    CREATE TRIGGER later_release BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION raise_version();
"""


def _reaction(floor: Shopfloor) -> Told:
    return Told(Settings(database_url=floor.database_url, redis_url=floor.redis_url))


def _received(records: list[EventRecord]) -> list[EventRecord]:
    return [record for record in records if record.type == StockReceived.type]


async def test_every_reader_of_the_log_gets_it_in_today_s_form(shop: Shopfloor) -> None:
    written = await shop.pool.fetch("SELECT version FROM events WHERE type = $1 ORDER BY seq", StockReceived.type)
    assert [row[0] for row in written] == [1, 2]
    assert await shop.pool.fetchval("SELECT on_hand FROM stock WHERE sku = 'MUG'") == 10
    await shop.verified()
    engine = create_engine(shop.database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            read = _received(await views.read(connection, 0, 100))
    finally:
        await engine.dispose()
    page = await read_page(shop.pool, _reaction(shop), 0)
    for records in (read, _received(page.records)):
        assert [record.event() for record in records] == [StockReceived("MUG", 5)] * 2
    async with shop.pool.acquire() as connection:
        branches = await read_branches(connection)
    sent: list[Any] = [msgspec.json.decode(packets.encode(record, branches)) for record in read]
    assert [each["data"] for each in sent] == [{"sku": "MUG", "quantity": 5, "reference": None}] * 2


async def test_a_reaction_handles_what_it_can_read_and_waits_there(shop: Shopfloor) -> None:
    seq = await _later_release(shop)
    page = await read_page(shop.pool, _reaction(shop), 0)
    assert (len(page.records), page.upto, page.is_last) == (1, seq - 1, False)
    with pytest.raises(UnknownVersion):
        await read_page(shop.pool, _reaction(shop), seq - 1)


async def test_a_gateway_waits_there_and_continues_once_it_has_that_release(
    shop: Shopfloor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with tail_of(shop.database_url, silence_seconds=SOON_SILENT) as tail:
        watcher = Watcher(tail)
        await watcher.begins()
        await shop.pool.execute(_FROM_NOW_ON_BY_A_LATER_RELEASE)  # the tail could read an event before it is changed
        await shop.post(ReceiveStock("MUG", 1), actor=STAFF)
        await shop.drain()
        seq: int = await shop.pool.fetchval("SELECT last_seq FROM event_counter")
        async with pace.timeout(WITHIN):
            while not any("later release" in each.message for each in caplog.records):
                await asyncio.sleep(SOON_SILENT)
        assert seq not in watcher.seqs
        monkeypatch.setattr(StockReceived, "schema_version", 3)
        monkeypatch.setitem(versions._STEPS, (StockReceived, 2), dict)
        assert await watcher.up_to(seq)


async def test_verify_reports_what_it_cannot_read(shop: Shopfloor) -> None:
    seq = await _later_release(shop)
    report = await verify(shop.database_url, shop.redis_url, mailbox_count=shop.mailbox_count)
    (unread,) = [each for each in report.differences if each["check"] == "log"]
    assert (unread["subject"], unread["problem"]) == (f"seq {seq}", "is no event")
    assert "version 3" in unread["error"]
