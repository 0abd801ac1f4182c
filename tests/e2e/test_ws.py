"""The WebSocket: subscribers get what they ask for and may see, each event once, in order, from where they say."""

import asyncio
import time
from typing import Any, Final

import pytest

from tests import pace
from tests.e2e.faults import workers_stopped
from tests.e2e.feed import Feeds, contract_of, last_seq, log, log_identity, visible
from tests.e2e.people import newcomer, sign_in
from tests.e2e.shop import Shop

NOWHERE: Final = "0192f5e0-0000-7000-8000-000000000000"


@pytest.fixture
async def feeds(shop: Shop) -> Feeds:
    return Feeds(shop.system, shop.http, await contract_of(shop.system, shop.http))


async def burst(shop: Shop, count: int) -> None:
    """Causes this many events in one batch."""
    sku = await shop.product()
    async with workers_stopped(shop.system):
        receipt = f"/inventory/{sku}/receipts"
        answers = await asyncio.gather(*(shop.staff.post(receipt, {"quantity": 1}, wait=None) for _ in range(count)))
    for answer in answers:
        await shop.staff.settled(answer.ok(202)["command_id"])


async def test_events_arrive_live_and_in_order(shop: Shop, feeds: Feeds) -> None:
    async with feeds.staff() as socket, feeds.staff() as other:
        after = (await socket.subscribe("log"))["after"]
        await other.subscribe("log", after=after)
        sku = await shop.product(on_hand=100)
        customer = shop.customer()
        order = await customer.placed({sku: 1})
        (await customer.cancel(order["id"])).ok()
        await asyncio.gather(*(customer.place({sku: 1}) for _ in range(20)))
        last = await last_seq(shop.database)
        await asyncio.gather(socket.up_to(last), other.up_to(last))
    assert socket.events["s"] == other.events["s"] == await log(shop.database, after, last)
    types = [event["type"] for event in socket.events["s"]]
    assert types[-23:] == ["stock.received", "order.placed", "order.cancelled"] + ["order.placed"] * 20
    pages = [await shop.staff.get("/events", after=seq, limit=50) for seq in range(after, last, 50)]
    assert [event for page in pages for event in page.ok()["items"]] == socket.events["s"]


async def test_an_event_arrives_soon_after_its_commit(shop: Shop, feeds: Feeds) -> None:
    """Over the feed, not because the log is read after a silence."""
    sku = await shop.product(on_hand=1)
    async with feeds.staff() as socket:
        await socket.subscribe(f"inventory/{sku}")
        seconds = []
        for _ in range(5):
            (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1})).ok()
            answered = time.monotonic()
            await socket.next("events")
            seconds.append(time.monotonic() - answered)
    assert pace.is_within(min(seconds), 0.25)


@pytest.mark.parametrize("behind", [0, 1, 60, None])
async def test_resuming_gives_exactly_what_the_log_has(shop: Shop, feeds: Feeds, behind: int | None) -> None:
    """From the end, from the last event but one, from further back, and from the very start."""
    if await last_seq(shop.database) < 100:
        await burst(shop, 99)
        await shop.product(on_hand=1)
    last = await last_seq(shop.database)
    after = 0 if behind is None else last - behind
    async with feeds.staff() as socket:
        assert (await socket.subscribe("log", after=after))["after"] == after
        await socket.up_to(last)
        assert socket.events["s"] == await log(shop.database, after, last)
        await shop.product(on_hand=1)
        last = await last_seq(shop.database)
        await socket.up_to(last)
    assert socket.events["s"] == await log(shop.database, after, last)


async def test_resuming_while_events_arrive_neither_repeats_nor_misses_one(shop: Shop, feeds: Feeds) -> None:
    sku = await shop.product(on_hand=1_000)
    customer = shop.customer()
    first = await last_seq(shop.database)

    async def placing() -> None:
        for _ in range(10):
            await asyncio.gather(*(customer.place({sku: 1}) for _ in range(5)))

    async def following() -> list[Any]:
        events: list[Any] = []
        while len(events) < 50:
            async with feeds.staff() as socket:
                await socket.subscribe("log", after=events[-1]["seq"] if events else first)
                await socket.next("events")
                events += socket.events["s"]
        return events

    events, _ = await asyncio.gather(following(), placing())
    assert events == (await log(shop.database, first))[: len(events)]


async def test_a_seq_that_is_yet_to_come_is_refused(shop: Shop, feeds: Feeds) -> None:
    last = await last_seq(shop.database)
    async with feeds.staff() as socket:
        answer = await socket.ask("subscribe", topics=["log"], after=last + 1)
        assert answer == {
            **answer,
            "type": "error",
            "code": "ahead_of_log",
            "seq": last,
            "log": await log_identity(shop.database),
        }
        await socket.subscribe("log", after=last)


async def test_each_subscription_of_a_socket_has_its_own_once_and_in_order(shop: Shop, feeds: Feeds) -> None:
    """Each topic by itself, some together, the same one twice; some from now on, some from earlier."""
    before = await last_seq(shop.database)
    ada, ben = shop.customer(), shop.customer()
    sku, other_sku = await shop.product(on_hand=50), await shop.product(on_hand=50)
    hers, his = await ada.placed({sku: 1, other_sku: 2}), await ben.placed({other_sku: 1})
    wanted = {
        "log": ["log"],
        "all": ["orders", "inventory", "catalogue"],
        "again": ["orders", "inventory", "catalogue"],
        "orders": ["orders"],
        "hers": [f"orders/{hers['id']}"],
        "both": [f"orders/{hers['id']}", f"orders/{his['id']}"],
        "stock": ["inventory"],
        "sku": [f"inventory/{sku.lower()}"],
        "catalogue": ["catalogue"],
    }
    async with feeds.staff() as socket:
        began = {}
        for number, (name, topics) in enumerate(wanted.items()):
            began[name] = (await socket.subscribe(*topics, after="now" if number % 2 else before, name=name))["after"]
        await asyncio.gather(*(buyer.placed({sku: 1, other_sku: 1}) for buyer in (ada, ben) for _ in range(5)))
        (await ada.cancel(hers["id"])).ok()
        await shop.product(on_hand=3)
        last = await last_seq(shop.database)
        await socket.up_to(last)
    for name, topics in wanted.items():
        canonical = [topic.replace(sku.lower(), sku) for topic in topics]
        expected = visible(await log(shop.database, began[name], last), *canonical)
        assert socket.events[name] == expected, name
        assert expected, f"{name}: there is something to see"


async def test_a_customer_sees_what_is_theirs_and_nothing_else(shop: Shop, feeds: Feeds) -> None:
    person, somebody = await newcomer(shop), shop.customer()
    tokens = await sign_in(shop, person)
    sku = await shop.product(on_hand=50)
    theirs = await somebody.placed({sku: 1})
    async with feeds.opened(tokens.access_token) as socket:
        await socket.subscribe("me", after=0)
        await socket.subscribe("catalogue", after=0, name="catalogue")
        mine = await tokens.client.placed({sku: 1})
        await socket.subscribe(f"orders/{mine['id']}", after=0, name="order")
        await socket.subscribe(f"orders/{NOWHERE}", after=0, name="nowhere")
        assert (await tokens.client.place({sku: 1_000})).status == 409
        (await tokens.client.cancel(mine["id"])).ok()
        (await somebody.cancel(theirs["id"])).ok()
        last = await last_seq(shop.database)
        await socket.up_to(last)
    events = await log(shop.database, 0, last)
    assert socket.events["s"] == visible(events, "me", to=person.account_id)
    kinds = [event["type"] for event in socket.events["s"]]
    assert kinds == ["account.created", "session.opened", "order.placed", "command.rejected", "order.cancelled"]
    assert socket.events["order"] == visible(events, f"orders/{mine['id']}", to=person.account_id)
    assert socket.events["catalogue"] == visible(events, "catalogue", to=person.account_id)
    assert socket.events["nowhere"] == []


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        ("orders", "forbidden"),
        ("log", "forbidden"),
        ("inventory", "forbidden"),
        ("inventory/KETTLE", "forbidden"),
        ("stats", "forbidden"),
        ("theirs", "order_not_found"),
        ("order", "unknown_topic"),
        ("orders/", "unknown_topic"),
        ("orders/1", "unknown_topic"),
        ("orders@public", "unknown_topic"),
        ("me/somebody", "unknown_topic"),
        ("catalogue/1", "unknown_topic"),
        ("LOG", "unknown_topic"),
        ("log\n", "unknown_topic"),
        ("", "unknown_topic"),
        ("🌊", "unknown_topic"),
    ],
)
async def test_unknown_topics_and_those_not_for_customers(shop: Shop, feeds: Feeds, topic: str, code: str) -> None:
    sku = await shop.product(on_hand=2)
    if topic == "theirs":
        topic = f"orders/{(await shop.customer().placed({sku: 1}))['id']}"
    async with feeds.customer("curious") as socket:
        assert await socket.refused("me", topic) == code
        await socket.subscribe("me")  # the socket stays open, and nothing was half subscribed
        await shop.customer().placed({sku: 1})
        await socket.up_to(await last_seq(shop.database))
    assert not socket.events


async def test_subscriptions_start_and_end(shop: Shop, feeds: Feeds) -> None:
    sku = await shop.product()
    async with feeds.staff() as socket:
        seq = await last_seq(shop.database)  # "now" might be before the product: an outcome may overtake its event
        first = await socket.ask("subscribe", topics=["log", f"inventory/{sku}"], after=seq)
        assert first["subscription"] == f"inventory/{sku},log", "named after its topics, in order"
        assert first["topics"] == ["log", f"inventory/{sku}"]
        assert (await socket.ask("subscribe", topics=[f"inventory/{sku}", "log"]))["code"] == "subscription_exists"
        (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1})).ok()
        await socket.up_to(await last_seq(shop.database))
        ended = await socket.ask("unsubscribe", subscription=first["subscription"])
        assert ended["subscription"] == first["subscription"]
        (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1})).ok()
        await socket.up_to(await last_seq(shop.database))
        assert len(socket.events[first["subscription"]]) == 1, "the event has two topics, and arrived once"
        assert (await socket.ask("unsubscribe", subscription="log"))["code"] == "no_such_subscription"
        await socket.subscribe("log", name=first["subscription"])


async def test_an_unsubscription_in_the_middle_of_a_replay_ends_it(shop: Shop, feeds: Feeds) -> None:
    if await last_seq(shop.database) < 100:
        await burst(shop, 99)
    async with feeds.staff() as socket:
        for turn in range(10):
            await socket.subscribe("log", after=0, name=f"s{turn % 2}")
            await socket.ask("unsubscribe", subscription=f"s{turn % 2}")
            heard = len(socket.events[f"s{turn % 2}"])
            await socket.ask("ping")
            assert len(socket.events[f"s{turn % 2}"]) == heard
        before = await last_seq(shop.database)
        await socket.subscribe("log", after=0)
        await socket.up_to(before)
    assert socket.events["s"] == await log(shop.database, 0, before)


async def test_a_heartbeat_is_safe_to_resume_from(shop: Shop, feeds: Feeds) -> None:
    """Everything up to its seq has arrived before it; everything that arrives after it is after its seq."""
    sku = await shop.product(on_hand=100)
    customer = shop.customer()
    async with feeds.staff() as socket:
        await socket.subscribe(f"inventory/{sku}", after=await last_seq(shop.database))
        await socket.subscribe("orders", after=0, name="orders")
        placing = asyncio.gather(*(customer.placed({sku: 1}) for _ in range(30)))
        heartbeats = 0
        while heartbeats < 2:
            message = await socket.more()
            assert message is not None
            if message["type"] == "heartbeat":
                heartbeats += 1
                events = await log(shop.database, 0, message["seq"])
                assert socket.events["orders"] == visible(events, "orders")
        await placing


@pytest.mark.parametrize("token_comes", ["in_the_header", "in_the_query", "in_the_first_message"])
async def test_a_first_subscription_in_the_request(shop: Shop, feeds: Feeds, token_comes: str) -> None:
    before = await last_seq(shop.database)
    token = shop.system.token("staff", "feed-staff")
    sku = await shop.product(on_hand=1)
    last = await last_seq(shop.database)
    query: dict[str, str | int] = {"topics": f"orders,inventory/{sku}", "after": before}
    if token_comes == "in_the_query":
        query["token"] = token
    async with feeds.opened(token if token_comes == "in_the_header" else None, **query) as socket:
        if token_comes == "in_the_first_message":
            answer = await socket.ask("authenticate", token=token)
            assert (answer["type"], answer["principal"], answer["role"]) == ("authenticated", "feed-staff", "staff")
        assert (await socket.next("subscribed"))["after"] == before
        await socket.up_to(last)
    expected = visible(await log(shop.database, before, last), f"inventory/{sku}", "orders")
    assert socket.events[f"inventory/{sku},orders"] == expected


async def test_notifications_are_the_customers_events_without_a_protocol(shop: Shop, feeds: Feeds) -> None:
    sku = await shop.product(on_hand=10)
    customer = shop.customer()
    order = await customer.placed({sku: 1})
    before = await last_seq(shop.database)
    token = shop.system.token("customer", customer.principal)
    async with feeds.opened(None, "/ws/notifications", token=token, after=0) as socket:
        (await customer.cancel(order["id"])).ok()
        await shop.customer().placed({sku: 1})
        await socket.raw.send_str("what is sent here is ignored")
        await customer.placed({sku: 1})
        got: list[Any] = []
        while len(got) < 3:
            frame = await socket.raw.receive_json(timeout=pace.seconds(10))
            assert feeds.contract is not None
            feeds.contract.notify(frame)
            got += frame
    assert got == visible(await log(shop.database), "me", to=customer.principal)
    async with feeds.opened(token, "/ws/notifications") as socket:
        await customer.placed({sku: 1})
        (only,) = await socket.raw.receive_json(timeout=pace.seconds(10))
        assert only["seq"] > before


async def test_stats_arrive_every_second(shop: Shop, feeds: Feeds) -> None:
    sku = await shop.product(on_hand=10)
    await shop.customer().placed({sku: 2})
    async with feeds.staff() as socket:
        await socket.subscribe("stats")
        first, _, third = [(await socket.next("stats"))["stats"] for _ in range(3)]
        assert first["at"] < third["at"]
        assert pace.is_within(third["at"] - first["at"], 3)
        assert third["orders_per_minute"] >= 1
        assert first["seq"] <= third["seq"]
        await socket.ask("unsubscribe", subscription="s")
        assert (await socket.ask("ping"))["type"] == "pong"
