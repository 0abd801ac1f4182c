"""Pages of products: read, encoded with their links, and cached. Only public pages are cached; staff's pages with
drafts are read each time.
"""

from collections.abc import Iterator
from math import inf
from typing import Final

from fastapi import Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.types import Scope

from domain.catalogue import ACTIVE
from gateway.catalogue.cache import CatalogueCache, Page, Ready, page_of
from gateway.catalogue.product_query import ProductsQuery
from gateway.catalogue.search import Found, search
from gateway.server.middleware.compression import accepts_gzip, is_compressed
from gateway.views import products as views
from gateway.views.products import ProductItem
from gateway.web import API
from gateway.web.reads import Reads

PRODUCTS: Final = f"{API}/products"

_IN_STOCK_SECONDS: Final = 1.0
"""How old a page that depends on stock may be: emptying the cache for every order would make it useless."""


class ProductsPage(BaseModel):
    """A page of products. `total` is the number on all pages; a search with very many matches stops counting, and then
    `total` is a lower bound."""

    items: list[ProductItem]
    total: int
    total_is_exact: bool
    next_cursor: str | None


def kept_page(cache: CatalogueCache, scope: Scope) -> Ready | None:
    """The response from the cache, or None. A request with a token must be authenticated first, if only to be rejected,
    and one that names a seq must be answered at that seq."""
    page = cache.get(scope["query_string"])
    if page is None or any(name in (b"authorization", b"if-seq-at-least") for name, _ in scope["headers"]):
        return None
    return form(scope, page)


def form(scope: Scope, page: Page) -> Ready:
    """The page in the form that the request asks for."""
    if_none_match, takes_gzip = None, False
    for name, value in scope["headers"]:
        if name == b"if-none-match":
            if_none_match = value if if_none_match is None else if_none_match + b", " + value
        elif name == b"accept-encoding":
            takes_gzip = takes_gzip or accepts_gzip(value)
    is_compressed(scope)
    return page.answer(if_none_match=if_none_match, takes_gzip=takes_gzip)


async def page(reads: Reads, cache: CatalogueCache, query: ProductsQuery, asked: bytes, seq: int | None) -> Page:
    """The page for the query: at `seq`, if given; otherwise from the cache, if it is public. `asked` is the raw query
    string, so that the next identical one need not be parsed."""

    if seq is not None or query.status != ACTIVE:
        return await reads.read_at(seq, lambda read: _read(read, query))
    key = query.canonical()
    good_seconds = _IN_STOCK_SECONDS if query.in_stock else inf
    page = await cache.get_or_make(
        key,
        lambda seq: reads.read_at(seq, lambda read: _read(read, query), certain=True),
        good_seconds=good_seconds,
    )
    cache.spell(asked, key)
    return page


async def _read(connection: AsyncConnection, query: ProductsQuery) -> Page:
    found = await search(connection, query)
    items = await views.items(connection, found.ids)
    body = ProductsPage(
        items=items, total=found.total, total_is_exact=found.total_is_exact, next_cursor=found.next_cursor
    )
    headers = {"Link": ", ".join(_links(query, found)), "X-Total-Count": str(found.total)}
    return await page_of(body.model_dump_json().encode(), headers)


def _links(query: ProductsQuery, found: Found) -> Iterator[str]:
    """The neighbouring pages (RFC 8288). The last one needs an exact total; with a cursor, the previous one is
    unknown."""
    yield _link("first", query.model_copy(update={"page": 1, "cursor": None}))
    if query.cursor is not None:
        if found.next_cursor is not None:
            yield _link("next", query.model_copy(update={"cursor": found.next_cursor}))
        return
    last = max(1, -(-found.total // query.limit))
    if query.page > 1:
        yield _link(
            "prev",
            query.model_copy(update={"page": min(query.page - 1, last) if found.total_is_exact else query.page - 1}),
        )
    if found.next_cursor is not None:
        yield _link("next", query.model_copy(update={"page": query.page + 1}))
    if found.total_is_exact:
        yield _link("last", query.model_copy(update={"page": last}))


def _link(relation: str, query: ProductsQuery) -> str:
    said = query.canonical().decode()
    return f'<{PRODUCTS}{"?" if said else ""}{said}>; rel="{relation}"'


def respond(ready: Ready) -> Response:
    """The ready response in the framework's form."""
    response = Response(ready.body, ready.status)
    response.raw_headers = list(ready.headers)
    return response
