"""Replays of the log: narrow ones are found by indexes, and deliver what the filter would have let through of
everything; those of everything take turns within a budget, and are refused when there are too many."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from itertools import count
from types import SimpleNamespace
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from sqlalchemy import event

from domain.model import Actor
from gateway.identity.caller import Caller
from gateway.realtime import hub as hubs
from gateway.realtime.hub import Audience, Hub
from gateway.realtime.messages import Subscribe
from gateway.realtime.places import Places
from gateway.realtime.plain import Notifications, Stream
from gateway.realtime.session import Session
from gateway.realtime.tail import Tail
from gateway.realtime.topics import narrow
from gateway.realtime.turns import TooManyReplays, Turns
from gateway.server.closing import TRY_LATER
from gateway.views import log
from gateway.views.narrow import read as read_narrow
from runtime.database import asyncpg_dsn
from runtime.engine import create_engine
from runtime.records import EventRecord, encode, moment
from runtime.settings import Settings
from tests.integration.test_realtime_hub import AT, Reader, turns
from tests.system import eventually_seen

ANN, BOB = str(uuid4()), str(uuid4())
PAGE: Final = 7


class Shop:
    """A log with every kind of event, of two customers, their orders in the table."""

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url, pool_size=4)
        self.tail = Tail(self.engine, silence_seconds=0.1)
        self.orders: list[tuple[UUID, str]] = []
        self.last = 0

    def hub(self, of: Turns) -> Hub:
        return Hub(self.engine, self.tail, of)

    async def commit(self, connection: "asyncpg.Connection[Any]", rounds: int) -> None:
        for _ in range(rounds):
            records, placed = self._round()
            async with connection.transaction():
                await connection.executemany(
                    "INSERT INTO orders VALUES ($1, $2, 'pending', 'GBP', 1, now(), now(), NULL, $3)", placed
                )
                await connection.executemany(
                    "INSERT INTO events VALUES ($1, $2, $3, $4, $5, $6, $7)",
                    [
                        (r.seq, r.type, r.subject, r.command_id, r.actor, moment(AT), bytes(r.data).decode())
                        for r in records
                    ],
                )
                await connection.execute("UPDATE event_counter SET last_seq = $1", records[-1].seq)
            self.last = records[-1].seq
            self.tail.offer(encode(records))

    def _round(self) -> tuple[list[EventRecord], list[tuple[UUID, str, int]]]:
        numbers = count(self.last + 1)
        records, placed = [], []

        def add(event_type: str, subject: object, actor: str = "sam", **data: object) -> int:
            raw = msgspec.Raw(json.dumps(data).encode())
            records.append(EventRecord(next(numbers), event_type, str(subject), UUID(int=0), actor, AT, raw))
            return records[-1].seq

        for customer in (ANN, BOB):
            order, lines = uuid4(), [{"sku": "MUG"}]
            seq = add("order.placed", order, customer, customer_id=customer, lines=lines)
            placed.append((order, customer, seq))
            self.orders.append((order, customer))
            earlier, whose = self.orders[len(self.orders) // 3]
            add("order.fulfilled", earlier, customer_id=whose)
            add("order.confirmed", order, customer_id=customer, lines=lines)
            add("account.changed", customer)
            add("session.opened", uuid4(), account_id=customer)
            add("command.rejected", uuid4(), customer, command="PlaceOrder", code="x")
        add("stock.received", "MUG")
        add("product.changed", uuid4(), status="active")
        add("product.changed", uuid4(), status="draft")
        add("category.created", uuid4())
        return records, placed


@pytest.fixture
async def shop(database_url: str) -> AsyncIterator[Shop]:
    shop = Shop(database_url)
    running = asyncio.create_task(shop.tail.run())
    await shop.tail.watching.wait()
    yield shop
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await shop.engine.dispose()


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    yield connection
    await connection.close()


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "_PAGE_EVENTS", PAGE)


async def _at(shop: Shop) -> None:
    async def reached() -> bool:
        return shop.tail.seq == shop.last

    await eventually_seen("the tail", reached, within_seconds=20)


async def _through_the_filter(shop: Shop, addresses: frozenset[str]) -> list[int]:
    async with shop.engine.connect() as reading:
        records = await log.read(reading, 0, 1_000_000)
    return [record.seq for record in records if Audience(addresses).sees(record)]


@pytest.mark.usefixtures("small_pages")
async def test_narrow_replays_bring_what_the_filter_lets_through_while_events_pour_in(
    shop: Shop, connection: "asyncpg.Connection[Any]"
) -> None:
    hub = shop.hub(turns())
    await shop.commit(connection, 12)
    await _at(shop)
    (hers, _), (his, _) = shop.orders[2], shop.orders[3]
    wanted = [
        {f"me/{ANN}"},
        {f"me/{BOB}", "catalogue@public"},
        {"catalogue"},
        {f"orders/{hers}", f"orders/{his}"},
        {f"orders/{hers}@{ANN}"},
        {f"orders/{his}@{ANN}"},
        {f"me/{ANN}", f"orders/{his}@{ANN}", "catalogue", "stats"},
        {"me/nobody"},
        {"inventory/MUG", f"me/{ANN}"},
        {"log"},
    ]
    readers = [Reader(hub, *addresses) for addresses in wanted]
    pouring = asyncio.create_task(shop.commit(connection, 25))
    await asyncio.gather(*(reader.resume(0) for reader in readers))
    await pouring
    await _at(shop)
    for reader, addresses in zip(readers, wanted, strict=True):
        assert reader.seqs == await _through_the_filter(shop, frozenset(addresses)), addresses
    assert not readers[5].seqs
    assert len(readers[0].seqs) > 10 * PAGE


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("addresses", [{"log"}, {f"me/{ANN}"}])
async def test_a_replay_that_is_overtaken_by_the_archive_says_so_instead_of_leaving_a_gap(
    shop: Shop, connection: "asyncpg.Connection[Any]", addresses: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.commit(connection, 12)
    await _at(shop)
    hub = shop.hub(turns())
    reader = Reader(hub, *addresses)
    read_page, pages = hub._read_page, 0

    async def third_is_gone(*arguments: Any) -> Any:
        nonlocal pages
        pages += 1
        if pages == 3:
            after = arguments[2]
            await connection.execute("DELETE FROM events WHERE seq <= $1", after + 3)
            await connection.execute("UPDATE log_start SET first_seq = $1", after + 4)
        return await read_page(*arguments)

    monkeypatch.setattr(hub, "_read_page", third_is_gone)
    with pytest.raises(log.NotThisLog) as refused:
        await reader.resume(0)
    assert refused.value.code == "archived"
    assert refused.value.first_seq == max(reader.seqs) + 4 or addresses != {"log"}


async def test_a_replayed_page_ends_at_the_hub_s_position(shop: Shop, connection: "asyncpg.Connection[Any]") -> None:
    """Later events arrive live: they may already be committed, but only partly visible."""
    await shop.commit(connection, 12)
    after, until = 20, shop.last - 20
    for addresses in ({f"me/{ANN}"}, {"catalogue"}, {f"orders/{order}" for order, _ in shop.orders}):
        wanted = narrow(addresses)
        assert wanted is not None
        async with shop.engine.connect() as reading:
            page = await read_narrow(reading, wanted, after, until, 1_000)
        assert page.seq == until
        seen = [record.seq for record in page.records if Audience(frozenset(addresses)).sees(record)]
        assert seen == [seq for seq in await _through_the_filter(shop, frozenset(addresses)) if after < seq <= until]
        assert all(after < record.seq <= until for record in page.records)


def test_which_subscriptions_are_narrow() -> None:
    order = uuid4()
    everything = narrow({"me/a@b/c", f"orders/{order}@a@b/c", "catalogue@public", "stats"})
    assert everything == ("a@b/c", (order,), True)
    for wide in ("log", "orders", "inventory", "inventory/MUG"):
        assert narrow({wide, "me/ann"}) is None


ORDERS: Final = 100_000
CUSTOMERS: Final = 1_000
_FILL: Final = f"""
    INSERT INTO orders SELECT md5('o' || n)::uuid, 'customer-' || n % {CUSTOMERS}, 'confirmed', 'GBP', 1, now(), now(),
        NULL, 2 * n - 1 FROM generate_series(1, {ORDERS}) AS n;
    INSERT INTO events SELECT 2 * n - 1 + later, (ARRAY['order.placed', 'order.confirmed'])[later + 1],
        md5('o' || n)::uuid::text, md5('c' || n)::uuid, 'customer-' || n % {CUSTOMERS}, now(),
        json_build_object('customer_id', 'customer-' || n % {CUSTOMERS}, 'lines', '[]'::json)
        FROM generate_series(1, {ORDERS}) AS n, generate_series(0, 1) AS later;
    UPDATE event_counter SET last_seq = 2 * {ORDERS};
    ANALYZE;
"""
# The cost of a customer's 200 events: some index pages for each order, and one page of the log for each event.
BUFFERS_MAX: Final = 2_500


@pytest.mark.campaign
async def test_a_customers_past_is_found_without_reading_everyone_s(
    shop: Shop, connection: "asyncpg.Connection[Any]"
) -> None:
    """The plans of all queries, as Postgres executes them: their cost must not grow with the log."""
    await connection.execute(_FILL)
    shop.last = 2 * ORDERS
    shop.tail.look_again()
    await _at(shop)
    asked: list[tuple[str, Any]] = []
    event.listen(shop.engine.sync_engine, "before_cursor_execute", lambda *said: asked.append((said[2], said[3])))
    reader = Reader(shop.hub(turns()), "me/customer-7", "catalogue")
    await reader.resume(0)
    assert len(reader.seqs) == 2 * ORDERS // CUSTOMERS
    queries = [(query, values) for query, values in asked if "events" in query]
    assert 2 <= len(queries) <= 6, "one page, or two with the seam"
    buffers = 0
    for query, values in queries:
        told = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}", *values)
        plan = json.loads(told)[0]["Plan"]
        buffers += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        for node in _nodes(plan):
            is_of_events = node.get("Relation Name", "").startswith("events")
            assert not (is_of_events and node["Node Type"] == "Seq Scan" and node["Actual Rows"]), node
            assert node["Actual Rows"] <= 2 * ORDERS // CUSTOMERS, node
            assert node.get("Rows Removed by Filter", 0) <= ORDERS // CUSTOMERS, node
    pages = await connection.fetchval("SELECT sum(relpages) FROM pg_class WHERE relname ~ '^events' AND relkind = 'r'")
    assert buffers < BUFFERS_MAX < pages, f"{buffers} of {pages}"


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


@pytest.mark.usefixtures("small_pages")
async def test_replays_of_everything_wait_for_their_budget_and_delay_no_others(
    shop: Shop, connection: "asyncpg.Connection[Any]"
) -> None:
    """The first page uses up the budget for an hour; a narrow replay does not wait that long."""
    await shop.commit(connection, 8)
    await _at(shop)
    hub = shop.hub(turns(events_per_second=0.001))
    wide = [Reader(hub, topic) for topic in ("log", "orders", "inventory/MUG")]
    replays = [asyncio.create_task(reader.resume(0)) for reader in wide]
    try:
        assert await wide[0].up_to(PAGE) == list(range(1, PAGE + 1))
        own = Reader(hub, f"me/{ANN}")
        await asyncio.wait_for(own.resume(0), 30)
        assert own.seqs == await _through_the_filter(shop, frozenset({f"me/{ANN}"}))
        assert [len(reader.seqs) for reader in wide] == [PAGE, 0, 0]
        # One that resumes within a page waits as well, and nothing is buffered for it meanwhile.
        close = Reader(hub, "log")
        replays.append(asyncio.create_task(close.resume(shop.last - 1)))
        await shop.commit(connection, 1)
        await _at(shop)
        assert close.subscription.held == (0, 0)
    finally:
        for replay in replays:
            replay.cancel()
        await asyncio.gather(*replays, return_exceptions=True)


@pytest.mark.usefixtures("small_pages")
async def test_long_replays_are_counted_per_principal_and_in_total_until_they_end(
    shop: Shop, connection: "asyncpg.Connection[Any]"
) -> None:
    await shop.commit(connection, 3)
    await _at(shop)
    hub = shop.hub(turns(replays_max=2, of_one=1))
    first, second, third = (Reader(hub, "log") for _ in range(3))
    hub.admit(first.subscription, 0, "ann")
    with pytest.raises(TooManyReplays, match="Too many of your replays"):
        hub.admit(second.subscription, 0, "ann")
    hub.admit(second.subscription, 0, "bob")
    with pytest.raises(TooManyReplays, match="Too many replays"):
        hub.admit(third.subscription, 0, "cid")
    for addresses, after in (("log", shop.last - PAGE), (f"me/{ANN}", 0), ("catalogue", 0)):
        hub.admit(Reader(hub, addresses).subscription, after, "ann")
    await first.resume(0)
    hub.admit(third.subscription, 0, "ann")
    hub.leave(second.subscription)
    hub.leave(second.subscription)
    hub.admit(Reader(hub, "log").subscription, 0, "bob")
    with pytest.raises(TooManyReplays):
        hub.admit(Reader(hub, "log").subscription, 0, "cid")


class _Client:
    """What a session sends to its client."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.ended = asyncio.Event()

    async def send(self, text: str) -> None:
        self.told.append(text)

    async def has(self, text: str) -> None:
        async def look() -> bool:
            return any(text in told for told in self.told)

        await eventually_seen(text, look, within_seconds=20)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("kind", [Session, Notifications, Stream])
async def test_one_replay_too_many_is_refused_by_its_code(
    shop: Shop, connection: "asyncpg.Connection[Any]", kind: type[Session]
) -> None:
    """A socket with a protocol stays open, others are closed; and the client may retry."""
    await shop.commit(connection, 3)
    await _at(shop)
    config = Settings()
    of = turns(of_one=1)
    edge: Any = SimpleNamespace(config=config, engine=shop.engine, tail=shop.tail, hub=shop.hub(of))
    caller = Caller(Actor("sam", "staff", frozenset({"events:read"})), float("inf"))
    other = of.begin("sam")
    client = _Client()
    session = kind(edge, caller, client.send, client.ended.set, Places(config).take(caller, None))
    try:
        await session.subscribe(Subscribe(["log"], 0, id="1"))
        if kind is Session:
            await client.has('"code":"too_many_replays"')
            assert session.closing is None
            other.end()
            await session.subscribe(Subscribe(["log"], 0, id="2"))
            await client.has(f'"seq":{shop.last},')
        else:
            assert session.closing == (TRY_LATER, "too_many_replays")
    finally:
        session.close()
