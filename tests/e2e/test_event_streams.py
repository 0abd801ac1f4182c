"""The feed as server-sent events: what a browser's EventSource receives, and how it resumes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import aiohttp
import pytest

from tests import pace
from tests.e2e.api import API, WAIT_SECONDS
from tests.e2e.conftest import SHOP_SETTINGS
from tests.e2e.feed import last_seq, log, visible
from tests.e2e.people import newcomer, sign_in, sign_out
from tests.e2e.shop import Shop
from tests.e2e.test_ws_bounds import open_sockets
from tests.system import eventually_seen

OF_ONE_MAX: Final = int(SHOP_SETTINGS["TIDEGATE_GATEWAY_PROCESSES"]) * int(
    SHOP_SETTINGS["TIDEGATE_SOCKET_MAX_PER_PRINCIPAL"]
)


class EventSource:
    """Parses an event stream by the standard (WHATWG HTML, 9.2.6), as far as it is used here."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_event_id = ""
        self.events: list[Any] = []
        self.retry_milliseconds: int | None = None

    async def block(self) -> bool:
        """Reads up to the next empty line; False at the end."""
        async with pace.timeout(WAIT_SECONDS):
            block = await self.response.content.readuntil(b"\n\n")
        data: list[str] = []
        for line in block.decode().split("\n"):
            field, _, value = line.partition(": ")
            assert field in ("", "id", "data", "retry"), line  # a comment starts with a colon
            if field == "retry":
                self.retry_milliseconds = int(value)
            if field == "id":
                self.last_event_id = value
            elif field == "data":
                data.append(value)
        if data:
            event = json.loads("\n".join(data))
            assert str(event["seq"]) == event["id"] == self.last_event_id.partition("@")[0]
            self.events.append(event)
        return bool(block)

    @property
    def seq(self) -> int:
        """The seq that it would resume from."""
        return int(self.last_event_id.partition("@")[0] or -1)

    async def up_to(self, seq: int) -> None:
        """Returns when it would resume from there or later."""
        while self.seq < seq:
            assert await self.block()


@asynccontextmanager
async def stream(
    shop: Shop, token: str, last_event_id: str | None = None, **query: str | int
) -> AsyncIterator[EventSource]:
    headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "gzip"}
    if last_event_id is not None:
        headers["Last-Event-ID"] = last_event_id
    async with shop.http.get(f"{shop.system.url}{API}/events/stream", params=query, headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        assert "Content-Encoding" not in response.headers, "it would be held back until there is enough to compress"
        yield EventSource(response)


async def test_events_arrive_as_they_are_committed(shop: Shop) -> None:
    before = await last_seq(shop.database)
    async with stream(shop, shop.system.token("staff"), topics="orders,inventory", after=before) as source:
        sku = await shop.product(on_hand=5)
        await shop.customer().placed({sku: 1})
        await source.up_to(last := await last_seq(shop.database))
    assert source.events == visible(await log(shop.database, before, last), "orders", "inventory")


async def test_a_reconnecting_client_resumes_where_it_was(shop: Shop) -> None:
    """From the last event's id, which browsers send by themselves, and which takes precedence over the query."""
    token = shop.system.token("staff")
    before = await last_seq(shop.database)
    sku = await shop.product(on_hand=50)
    events: list[Any] = []
    last_event_id = str(before)
    for _ in range(5):
        async with stream(shop, token, last_event_id, topics="log", after=0) as source:
            await shop.customer().placed({sku: 1})
            await source.up_to(int(last_event_id.partition("@")[0]) + 1)
        events += source.events
        last_event_id = source.last_event_id
    assert events == await log(shop.database, before, source.seq)


async def test_a_stream_cut_before_its_first_event_has_no_gap(shop: Shop) -> None:
    """A stream that starts now says where that is; and one that sees no events says how far it has got all the same."""
    customer = shop.customer()
    token = shop.system.token("customer", customer.principal)
    sku = await shop.product(on_hand=5)
    async with stream(shop, token, topics="me") as source:
        await source.up_to(await last_seq(shop.database))
        assert not source.events
    await customer.placed({sku: 1})
    async with stream(shop, token, source.last_event_id, topics="me") as source:
        await shop.product(on_hand=1)
        await source.up_to(await last_seq(shop.database))
    assert [event["type"] for event in source.events] == ["order.placed"]


@pytest.mark.parametrize(
    ("role", "query", "status", "code"),
    [
        (None, {"topics": "log"}, 401, "unauthenticated"),
        ("customer", {"topics": "log"}, 403, "forbidden"),
        ("customer", {"topics": "me,orders"}, 403, "forbidden"),
        ("customer", {"topics": "theirs"}, 404, "order_not_found"),
        ("staff", {}, 422, "invalid_request"),
        ("staff", {"topics": ""}, 422, "invalid_request"),
        ("staff", {"topics": "order"}, 422, "invalid_request"),
        ("staff", {"topics": "log,"}, 422, "invalid_request"),
        ("staff", {"topics": "stats"}, 422, "invalid_request"),
        ("staff", {"topics": ",".join(["log"] * 101)}, 422, "invalid_request"),
        ("staff", {"topics": "log", "after": "-1"}, 422, "invalid_request"),
        ("staff", {"topics": "log", "after": "9" * 19}, 422, "invalid_request"),
        ("staff", {"topics": "log", "after": "now"}, 422, "invalid_request"),
    ],
)
async def test_refusals_are_problems(
    shop: Shop, role: str | None, query: dict[str, str], status: int, code: str
) -> None:
    if query.get("topics") == "theirs":
        sku = await shop.product(on_hand=1)
        query = {"topics": f"orders/{(await shop.customer().placed({sku: 1}))['id']}"}
    client = shop.anybody if role is None else shop.client(role, "refused")
    (await client.get("/events/stream", **query)).problem(status, code)


@pytest.mark.parametrize("last_event_id", ["-1", "x", "9" * 19, "1.0"])
async def test_an_invalid_last_event_id_is_refused(shop: Shop, last_event_id: str) -> None:
    answer = await shop.staff.request(
        "GET", f"{API}/events/stream", params={"topics": "log"}, headers={"Last-Event-ID": last_event_id}
    )
    answer.problem(422, "invalid_request")


async def test_streams_are_limited_and_a_slot_is_freed_when_its_client_leaves(shop: Shop) -> None:
    token = shop.system.token("staff", "streaming")
    client = shop.with_token(token)
    await eventually_seen("no socket of earlier tests", lambda: open_sockets(shop, 0), within_seconds=WAIT_SECONDS)
    async with AsyncExitStack() as stack:

        async def fill() -> bool:
            """Opens streams until each gateway has refused one: then none has room."""
            try:
                source = await asyncio.wait_for(
                    stack.enter_async_context(stream(shop, token, topics="log")), pace.seconds(WAIT_SECONDS)
                )
            except AssertionError:
                return True
            opened.append(source)
            return False

        opened: list[EventSource] = []
        await eventually_seen("a refusal", fill, within_seconds=WAIT_SECONDS)
        assert 1 <= len(opened) <= OF_ONE_MAX
        await eventually_seen("full", lambda: open_sockets(shop, len(opened)), within_seconds=WAIT_SECONDS)
    await eventually_seen("no stream", lambda: open_sockets(shop, 0), within_seconds=WAIT_SECONDS)
    async with stream(shop, token, topics="log"):
        assert client is not None


async def test_a_stream_ends_with_its_session(shop: Shop) -> None:
    person = await newcomer(shop)
    tokens = await sign_in(shop, person)
    before = await last_seq(shop.database)
    async with stream(shop, tokens.access_token, topics="me", after=before) as source:
        await source.block()
        assert (await sign_out(tokens.client)).status == 204
        while await source.block():
            pass
    assert [event["type"] for event in source.events] == ["session.closed"]


async def test_a_browser_s_eventsource_sends_its_token_in_the_address(shop: Shop) -> None:
    """It cannot set headers. The token must not appear in the logs, and no answer to it may be cached."""
    token = shop.system.token("customer", "eventsource")
    url = f"{shop.system.url}{API}/events/stream"
    async with shop.http.get(url, params={"topics": "me", "token": token}) as response:
        assert (response.status, response.headers["Cache-Control"]) == (200, "no-store")
        source = EventSource(response)
        await source.block()
        assert source.retry_milliseconds == 2_000
    for wrong, status in ((f"{token}x", 401), ("", 401)):
        async with shop.http.get(url, params={"topics": "me", "token": wrong}) as response:
            assert (response.status, response.headers["Cache-Control"]) == (status, "no-store")
    async with shop.http.get(f"{shop.system.url}{API}/orders", params={"token": token}) as response:
        assert response.status in (401, 422), "only where there is no other way"
    assert token.encode() not in shop.system.log("gateway").read_bytes()
