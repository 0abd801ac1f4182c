"""Webhooks while background processes are killed: nothing is skipped, everything is in order, and repeats are
recognisable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from tests import pace
from tests.e2e.api import API, Client
from tests.e2e.ledger import Ledger, stock_up, verified
from tests.receiver import Receiver
from tests.system import System

pytestmark = pytest.mark.campaign

SKU: Final = "KETTLE"
KILLS: Final = 4
EVENTS_PER_KILL: Final = 20


@pytest_asyncio.fixture(scope="module")
async def busy() -> AsyncIterator[System]:
    with System({"TIDEGATE_REACTION_LEASE_SECONDS": "1"}) as running:
        await stock_up(running, [SKU])
        yield running
        assert not running.tracebacks()


class Doorkeeper:
    """Lets requests be answered until told to hold one."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.holds_one = asyncio.Event()

    def hold(self) -> None:
        self.holds_one.clear()
        self._open.clear()

    def let_go(self) -> None:
        self._open.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if not self._open.is_set():
            self.holds_one.set()
        await self._open.wait()
        return web.Response(status=204)


async def test_background_killed_while_delivering(busy: System) -> None:
    door = Doorkeeper()
    async with Receiver() as receiver, aiohttp.ClientSession() as http, Ledger(busy) as ledger:
        receiver.answer = door.answer
        staff = Client(http, busy.url, busy.token("staff"))
        webhook = (await staff.post("/webhooks", {"url": receiver.url, "event_types": ["stock.*"]})).ok(201)
        before = await ledger.last_seq()
        for _ in range(KILLS):
            door.hold()
            await asyncio.gather(
                *(staff.post(f"/inventory/{SKU}/receipts", {"quantity": 1}) for _ in range(EVENTS_PER_KILL))
            )
            # The receiver has the request, and the process that sent it never gets the answer.
            await asyncio.wait_for(door.holds_one.wait(), pace.seconds(20))
            busy.kill_process("background")
            door.let_go()
            busy.start_process("background")
        rows = await ledger.connection.fetch(
            "SELECT seq FROM events WHERE seq > $1 AND type = 'stock.received' ORDER BY seq", before
        )
        expected = [row["seq"] for row in rows]
        assert len(expected) == KILLS * EVENTS_PER_KILL
        await receiver.has(len(expected) + KILLS)
        seqs = [event["seq"] for event in receiver.events(webhook["secret"])]
        ids = [received.headers["webhook-id"] for received in receiver.received]
        assert list(dict.fromkeys(seqs)) == expected, "nothing is skipped"
        assert seqs == sorted(seqs), "repeats come before anything new"
        assert len(set(ids)) == len(expected), "a repeat has the same id"
        assert len(set(zip(seqs, ids, strict=True))) == len(expected)
    await verified(busy)


async def test_private_addresses_are_refused_where_they_are_not_allowed() -> None:
    """At registration if the address is known to be private, and otherwise on connection, whatever the name."""
    with System({"TIDEGATE_WEBHOOK_PRIVATE_ADDRESSES": "false"}) as system:
        async with aiohttp.ClientSession() as http:
            staff = Client(http, system.url, system.token("staff"))
            for url in (
                "http://127.0.0.1:9000/",
                "http://[::1]/",
                "http://169.254.169.254/latest",
                "http://localhost/",
            ):
                answer = await staff.post("/webhooks", {"url": url, "event_types": ["*"]})
                answer.problem(422, "webhook_address_refused")
            body = {"url": "https://receiver.example/", "event_types": ["order.*"]}
            webhook = (await staff.post("/webhooks", body)).ok(201)
            moved = await staff.request(
                "PATCH",
                f"{API}/webhooks/{webhook['id']}",
                data=b'{"url": "http://10.0.0.1/"}',
                headers={"Content-Type": "application/json"},
            )
            moved.problem(422, "webhook_address_refused")
