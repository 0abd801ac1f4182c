"""`If-Seq-At-Least`: a read shows the write whose `Tidegate-Seq` it names, and says so when there is no such write yet.
What a replica makes of it is tried in `test_replica.py` and `tests/integration/test_reads.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

from tests.e2e.api import API, Answer, Client
from tests.e2e.people import admin
from tests.e2e.shop import Shop

HEADER: Final = "If-Seq-At-Least"
NOTHING: Final = str(UUID(int=7))
FAR: Final = str(2**63 - 1)


async def read(client: Client, path: str, seq: str, **params: str | int) -> Answer:
    return await client.request("GET", path, headers={HEADER: seq}, params=params)


def reads(document: Any) -> Iterator[tuple[str, bool]]:
    """The path of each GET of the API's, with ids of nothing, and whether it is documented to take the header."""
    for path, item in document["paths"].items():
        if "get" in item and path.startswith(API) and not path.endswith("/stream"):
            taken = {each["name"] for each in item["get"].get("parameters", ())}
            for name in ("product_id", "category_id", "order_id"):
                path = path.replace(f"{{{name}}}", NOTHING)
            yield path.replace("{sku}", "NOTHING").replace("{number}", "CN-000001"), HEADER in taken


async def test_each_read_that_is_documented_to_take_it_does_and_no_other(shop: Shop) -> None:
    await shop.product()
    document = (await shop.anybody.request("GET", "/api/openapi.json")).ok()
    found = dict(reads(document))
    assert sum(found.values()) == 14
    for path, takes_it in found.items():
        answer = await read(admin(shop), path, "soon")
        if takes_it:
            assert answer.pointers() == {f"/header/{HEADER}"}, path
            far = await read(admin(shop), path, FAR)
            assert far.problem(412, "seq_not_reached")["last_seq"] > 0, path
        else:
            assert answer.status != 412, path
            assert answer.status != 422 or answer.pointers() != {f"/header/{HEADER}"}, path


async def test_a_read_that_names_a_write_shows_it(shop: Shop) -> None:
    sku = await shop.product(on_hand=3)
    customer = shop.customer()
    placed = await customer.place({sku: 2})
    seq, order_id = placed.headers["Tidegate-Seq"], placed.ok(201)["id"]
    assert (await read(customer, f"{API}/orders/{order_id}", seq)).ok()["status"] == "placed"
    assert (await read(customer, f"{API}/orders", seq)).ok()["items"][0]["id"] == order_id
    assert (await read(shop.staff, f"{API}/inventory/{sku}", seq)).ok()["reserved"] == 2
    # Whoever did not wait for the outcome is told the seq with it.
    later = (await customer.place({sku: 1}, wait=None)).ok(202)
    command = await customer.settled(later["command_id"])
    again = await customer.get(f"/commands/{later['command_id']}")
    assert again.headers["Tidegate-Seq"] == str(command["seq"])
    assert (await read(customer, f"{API}/orders", str(command["seq"]))).ok()["items"][0]["id"] == later["id"]


async def test_a_cached_page_is_not_served_to_a_client_that_names_a_later_seq(shop: Shop) -> None:
    """The page may be kept by either gateway, and neither need have heard of the change."""
    sku = await shop.product(price_minor=100)
    product_id, path = await shop.product_id(sku), f"{API}/products"
    assert (await shop.anybody.get("/products", q=sku)).ok()["items"][0]["variants"][0]["price_minor"] == 100
    for price in range(101, 111):
        changed = await admin(shop).request(
            "PATCH",
            f"{API}/products/{product_id}/variants/{sku}",
            data=b'{"price_minor": %d}' % price,
            headers={"Content-Type": "application/json"},
        )
        seq = changed.headers["Tidegate-Seq"]
        (found,) = (await read(shop.anybody, path, seq, q=sku)).ok()["items"]
        assert found["variants"][0]["price_minor"] == price
