"""HTTP as its own tools speak it: HEAD wherever there is GET, conditional requests, and what browsers ask first."""

import re
import uuid
from collections.abc import Mapping
from typing import Final

from tests.e2e.api import API, Client
from tests.e2e.shop import Shop

UNDOCUMENTED: Final = ("/api/openapi.json", "/api/asyncapi.json", "/api/docs", "/api/redoc", "/dashboard")
FILES: Final = ("/api/docs/assets/docs.js", "/dashboard/assets/main.js")
ENDLESS: Final = f"{API}/events/stream"

# Another value each time; and of a body that grows while it is looked at, and is sent in chunks.
VOLATILE: Final = frozenset({"date", "x-request-id", "x-process-time", "content-length", "transfer-encoding"})


async def _paths(shop: Shop, admin: Client) -> list[str]:
    """Every path of the document that has GET, about things that are there as far as it goes, and the others."""
    document = (await shop.anybody.request("GET", "/api/openapi.json")).ok()
    sku = await shop.product(on_hand=3)
    order = await admin.placed({sku: 1})
    named = {
        "order_id": order["id"],
        "sku": sku,
        "product_id": await shop.product_id(sku),
        "command_id": (await admin.place({sku: 1}, wait=None)).ok(202)["command_id"],
    }
    documented = [path for path, item in document["paths"].items() if "get" in item and path != ENDLESS]
    assert len(documented) > 20
    return [*(_filled(path, named) for path in documented), *UNDOCUMENTED, *FILES]


def _filled(path: str, named: Mapping[str, str]) -> str:
    return re.sub(r"{(\w+)}", lambda found: named.get(found[1], str(uuid.uuid4())), path)


async def test_head_is_what_get_is_without_the_body_everywhere(shop: Shop) -> None:
    admin = shop.client("admin", "head-admin")
    statuses = set()
    for path in await _paths(shop, admin):
        got, headed = await admin.request("GET", path), await admin.request("HEAD", path)
        assert (headed.status, headed.body) == (got.status, b""), path
        assert _steady(headed.headers) == _steady(got.headers), path
        statuses.add(got.status)
    assert {200, 404} <= statuses


async def test_head_of_a_file_says_its_length(shop: Shop) -> None:
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
    unsafe = await shop.anybody.request("HEAD", "/api/auth/token")
    assert (unsafe.status, unsafe.headers["Allow"]) == (405, "POST")


def _steady(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items() if name.lower() not in VOLATILE}
