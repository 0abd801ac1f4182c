"""HTTP as its own tools speak it: HEAD wherever there is GET, conditional requests, and what browsers request first."""

import re
import uuid
from collections.abc import Mapping
from typing import Final

import pytest

from tests.e2e.api import API, Client
from tests.e2e.catalogue import conditional
from tests.e2e.shop import Shop

UNDOCUMENTED: Final = ("/api/openapi.json", "/api/asyncapi.json", "/api/docs", "/api/redoc", "/dashboard")
FILES: Final = ("/api/docs/assets/docs.js", "/dashboard/assets/main.js")
ENDLESS: Final = f"{API}/events/stream"

# Headers whose values differ each time, and those of a body that grows meanwhile or is sent in chunks.
VOLATILE: Final = frozenset(
    {"date", "x-request-id", "x-process-time", "ratelimit", "content-length", "transfer-encoding"}
)


async def _paths(shop: Shop, admin: Client) -> list[str]:
    """Every path of the document that has GET, filled with existing ids where possible."""
    document = (await shop.anybody.request("GET", "/api/openapi.json")).ok()
    sku = await shop.product(on_hand=3)
    order = await admin.placed({sku: 1})
    command_id = (await admin.place({sku: 1}, wait=None)).ok(202)["command_id"]
    await admin.settled(command_id)  # or its answer changes between two requests
    named = {
        "order_id": order["id"],
        "sku": sku,
        "product_id": await shop.product_id(sku),
        "command_id": command_id,
    }
    documented = [path for path, item in document["paths"].items() if "get" in item and path != ENDLESS]
    assert len(documented) > 20
    return [*(_filled(path, named) for path in documented), *UNDOCUMENTED, *FILES]


def _filled(path: str, named: Mapping[str, str]) -> str:
    return re.sub(r"{(\w+)}", lambda found: named.get(found[1], str(uuid.uuid4())), path)


async def test_head_equals_get_without_the_body_everywhere(shop: Shop) -> None:
    admin = shop.client("admin", "head-admin")
    statuses = set()
    for path in await _paths(shop, admin):
        got, headed = await admin.request("GET", path), await admin.request("HEAD", path)
        assert (headed.status, headed.body) == (got.status, b""), path
        assert _steady(headed.headers) == _steady(got.headers), path
        statuses.add(got.status)
    assert {200, 404} <= statuses


async def test_head_of_a_file_gives_its_length(shop: Shop) -> None:
    for path in ("/health/live", f"{API}/categories", "/dashboard", *FILES):
        got, headed = await shop.anybody.request("GET", path), await shop.anybody.request("HEAD", path)
        assert headed.headers["Content-Length"] == got.headers["Content-Length"], path
        assert (int(got.headers["Content-Length"]) > 0, headed.body) == (True, b""), path


async def test_allow_names_head_where_it_names_get(shop: Shop) -> None:
    for path in await _paths(shop, shop.staff):
        refused = await shop.staff.request("DELETE", path)
        if refused.status == 405:
            assert {"GET", "HEAD"} <= set(refused.headers["Allow"].split(", ")), path
    endless = await shop.staff.request("HEAD", ENDLESS)
    assert (endless.status, endless.headers["Allow"]) == (405, "GET")
    beside = await shop.staff.request("DELETE", f"{API}/gift-cards/balance")  # no id of a card, which could be read
    assert (beside.status, beside.headers["Allow"]) == (405, "POST")
    unsafe = await shop.anybody.request("HEAD", "/api/auth/token")
    assert (unsafe.status, unsafe.headers["Allow"]) == (405, "POST")


def _steady(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items() if name.lower() not in VOLATILE}


@pytest.mark.parametrize("path", ["/dashboard", *FILES])
async def test_a_cached_file_is_not_sent_again(shop: Shop, path: str) -> None:
    first = await shop.anybody.request("GET", path)
    assert first.headers["Cache-Control"] in ("no-cache", "public, max-age=86400")
    for sent in (first.headers["ETag"], f'"another", {first.headers["ETag"]}', "*"):
        again = await shop.anybody.request("GET", path, headers={"If-None-Match": sent})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
        assert again.headers["Cache-Control"] == first.headers["Cache-Control"]
    changed = await shop.anybody.request("GET", path, headers={"If-None-Match": '"another"'})
    assert (changed.status, changed.body) == (200, first.body)


async def test_an_unchanged_order_is_not_sent_again(shop: Shop) -> None:
    customer = shop.customer()
    order = await customer.placed({await shop.product(on_hand=1): 1})
    path = f"/orders/{order['id']}"
    placed = await customer.get(path)
    tag = placed.headers["ETag"]
    assert placed.headers["Cache-Control"] == "no-store", "no cache keeps it, but a client that does may revalidate it"
    same = await conditional(customer, path, tag)
    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", tag)
    confirmed = await customer.post(f"{path}/confirm")
    assert confirmed.headers["ETag"] != tag
    assert (await conditional(customer, path, tag)).ok()["status"] == "confirmed"
    assert (await conditional(customer, path, confirmed.headers["ETag"])).status == 304
    (await conditional(shop.customer(), path, tag)).problem(404, "order_not_found")
