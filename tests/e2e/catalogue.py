"""The catalogue as a test's admin edits it, and bodies for its products."""

import itertools
import json
from collections.abc import Mapping
from typing import Any, Final

from tests.e2e.api import API, Answer, Client
from tests.e2e.shop import Shop

_WAIT: Final = {"Content-Type": "application/json", "Prefer": "wait=15"}
_numbers = itertools.count(1)


def unique(word: str) -> str:
    """The word with a number that makes it unique among all tests. Write it in upper case for a SKU."""
    return f"{word}-{next(_numbers)}"


class Catalogue:
    """`Catalogue(shop)`: writes as an admin and waits for the outcome."""

    def __init__(self, shop: Shop) -> None:
        self.admin: Client = shop.client("admin", "catalogue-admin")

    async def create(self, **said: Any) -> dict[str, Any]:
        """Creates a product, which must succeed; active and with one variant unless told otherwise."""
        name = said.pop("name", unique("Thing"))
        body = {"name": name, "status": "active", "variants": [variant()], **said}
        product: dict[str, Any] = (await self.admin.post("/products", body)).ok(201)
        return product

    async def category(self, **said: Any) -> dict[str, Any]:
        """Creates a category, which must succeed."""
        made: dict[str, Any] = (await self.admin.post("/categories", {"name": unique("Shelf"), **said})).ok(201)
        return made

    async def patch(self, path: str, body: Any, *, version: int | None = None, client: Client | None = None) -> Answer:
        return await self.write("PATCH", path, body, version=version, client=client)

    async def put_variant(self, product_id: str, sku: str, *, version: int | None = None, **said: Any) -> Answer:
        body = {"price_minor": 100, "currency": "GBP", **said}
        return await self.write("PUT", f"/products/{product_id}/variants/{sku}", body, version=version)

    async def archive(self, product_id: str, *, version: int | None = None) -> Answer:
        return await self.write("POST", f"/products/{product_id}/archive", version=version)

    async def write(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        version: int | None = None,
        client: Client | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = {**_WAIT, **(headers or {})}
        if version is not None:
            sent["If-Match"] = f'"{version}"'
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return await (client or self.admin).request(method, API + path, data=data, headers=sent)


def variant(sku: str | None = None, **said: Any) -> dict[str, Any]:
    """A variant's body, with a new SKU unless one is given."""
    return {"sku": sku or unique("SKU"), "price_minor": 250, "currency": "GBP", **said}


async def conditional(client: Client, path: str, tag: str) -> Answer:
    """GET with If-None-Match."""
    return await client.request("GET", API + path, headers={"If-None-Match": tag})
