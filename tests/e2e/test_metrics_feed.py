"""What metrics say of the feed: how late it is, how much it sends, and how sockets resume and end."""

import pytest

from tests.e2e.feed import Feeds, contract_of, last_seq
from tests.e2e.readings import Reading, read
from tests.e2e.shop import Shop
from tests.system import eventually_seen


@pytest.fixture
async def feeds(shop: Shop) -> Feeds:
    return Feeds(shop.system, shop.http, await contract_of(shop.system, shop.http))


async def moved(shop: Shop, before: Reading, *wanted: tuple[str, dict[str, str], float]) -> None:
    """Returns when each of these has moved by so much, or more; some are counted only every second."""

    async def have() -> bool:
        now = await read(shop)
        return all(now(name, **labels) - before(name, **labels) >= by for name, labels, by in wanted)

    await eventually_seen(str(wanted), have, within_seconds=10)


async def test_events_are_measured_on_their_way_to_a_socket(shop: Shop, feeds: Feeds) -> None:
    sku = await shop.product(on_hand=1)
    before = await read(shop)
    async with feeds.staff() as socket:
        await socket.subscribe(f"inventory/{sku}")
        for _ in range(3):
            (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1})).ok()
            await socket.next("events")
    await moved(
        shop,
        before,
        ("tidegate_feed_lag_seconds_count", {}, 3),
        ("tidegate_feed_frames_sent_total", {}, 4),
        ("tidegate_feed_sent_bytes_total", {}, 3 * 200),
        ("tidegate_feed_broadcast_seconds_count", {}, 3),
    )
    after = await read(shop)
    assert after("tidegate_feed_lag_seconds_count") - before("tidegate_feed_lag_seconds_count") == 3
    assert 0 < after("tidegate_feed_lag_seconds_sum") - before("tidegate_feed_lag_seconds_sum") < 30
    assert after("tidegate_feed_sent_bytes_total") - before("tidegate_feed_sent_bytes_total") < 20_000


async def test_resumes_are_counted_by_result(shop: Shop, feeds: Feeds) -> None:
    await shop.product(on_hand=1)
    last = await last_seq(shop.database)
    before = await read(shop)
    async with feeds.staff() as socket:
        await socket.subscribe("log", after=last - 2)
        await socket.up_to(last)
    async with feeds.staff() as socket:
        await socket.subscribe("log", after=last)
    customer = shop.system.token("customer", "feed-customer")
    async with feeds.opened(customer, "/ws/notifications", after=last + 1_000_000) as socket:
        assert (await socket.closed())[0] == 4410
    async with feeds.opened("garbage") as socket:
        assert (await socket.closed())[0] == 4401
    resumes = "tidegate_feed_resumes_total"
    await moved(
        shop,
        before,
        (resumes, {"result": "replayed"}, 1),
        (resumes, {"result": "level"}, 1),
        (resumes, {"result": "not_this_log"}, 1),
        ("tidegate_feed_resumed_events_sum", {}, 2),
        ("tidegate_sockets_closed_total", {"code": "4410"}, 1),
        ("tidegate_sockets_closed_total", {"code": "4401"}, 1),
        ("tidegate_sockets_closed_total", {"code": "gone"}, 2),
    )
    after = await read(shop)
    assert after(resumes) - before(resumes) == 3
