"""`/api/asyncapi.json`: it is a valid AsyncAPI document, and the feed's messages are as documented.

The feed's other tests check every message against it, too (`tests.e2e.feed.Contract`).
"""

import json
from typing import Any

import pytest

from gateway.server.closing import MEANINGS
from tests import nodetools
from tests.e2e.feed import Contract, Feeds, contract_of, last_seq
from tests.e2e.shop import Shop


@pytest.fixture
async def document(shop: Shop) -> Any:
    return (await shop.anybody.request("GET", "/api/asyncapi.json")).ok()


@pytest.mark.campaign
def test_the_official_parser_finds_nothing_wrong(document: dict[str, Any]) -> None:
    found = nodetools.says("asyncapi.mjs", document)
    assert found["parsed"], found["diagnostics"]
    # It hints at newer versions of the specification; anything else would be ours to fix.
    assert [said for said in found["diagnostics"] if said["code"] != "asyncapi-latest-version"] == []


@pytest.mark.campaign
def test_the_official_parser_would_find_something(document: dict[str, Any]) -> None:
    broken = json.loads(json.dumps(document))
    broken["operations"]["tell"]["channel"]["$ref"] = "#/channels/nowhere"
    assert not nodetools.says("asyncapi.mjs", broken)["parsed"]


async def test_every_message_of_the_document_is_sent_as_documented(shop: Shop) -> None:
    contract: Contract = await contract_of(shop.system, shop.http)
    feeds = Feeds(shop.system, shop.http, contract)
    sku = await shop.product(on_hand=3)
    async with feeds.opened() as socket:
        await socket.ask("authenticate", token=shop.system.token("staff"))
        await socket.ask("subscribe", topics=["stats"])
        await socket.subscribe("log", after=0)
        (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1})).ok()
        await socket.up_to(await last_seq(shop.database))
        await socket.next("stats")
        await socket.next("heartbeat")
        await socket.ask("unsubscribe", subscription="s")
        assert (await socket.ask("unsubscribe", subscription="s"))["type"] == "error"
    assert contract.seen == contract.names


async def test_every_close_code_is_documented(document: dict[str, Any]) -> None:
    for code in MEANINGS:
        assert f"- {code}: " in document["info"]["description"]
