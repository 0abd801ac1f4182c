"""Finding products: by full text, by code, by category, price and stock; page by page, in every order.

Words are looked up by their English stems, whatever their case, accents and script (`domain/folding.py`), with quotes,
`or` and `-` as in web search; a SKU or a barcode must match as a whole. If nothing matches, similarly spelled names are
searched for. A word that nearly all products contain must not cost more than any other, so only the newest COUNTED_MAX
matches are ranked and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Double,
    FromClause,
    Select,
    Text,
    Uuid,
    any_,
    case,
    cast,
    exists,
    func,
    literal,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.fields.catalogue import canonical_sku
from domain.folding import alike
from gateway.catalogue.product_query import ProductsQuery, read_cursor, write_cursor
from gateway.catalogue.terms import tsquery
from gateway.web.pages import decode_cursor, encode_cursor
from runtime.engine import in_transaction
from runtime.tables import categories, products, stock, variants

COUNTED_MAX: Final = 5_000
"""A search's total is exact below this; the total of a plain list, of a category or of all, always is."""
ALIKE_MAX: Final = 1_000
"""The same for similarly spelled names, each of which takes some microseconds to compare."""
# The share of trigrams that a name and the search must have in common. Two swapped letters in a word of nine still
# pass.
_ALIKE: Final = 0.4
"""pg_trgm.word_similarity_threshold, 0..1."""
_EXACT_RANK: Final = 2.0
"""The rank of a SKU or a barcode; `ts_rank` stays below 1."""
_RANK_BY_LENGTH: Final = 1
"""ts_rank's option that divides by 1 + log(length): of two matches, the shorter text ranks higher."""


class Found(NamedTuple):
    """The ids of one page; the total, a lower bound if not exact; the next page's cursor."""

    ids: list[UUID]
    total: int
    total_is_exact: bool
    next_cursor: str | None


async def search(connection: AsyncConnection, query: ProductsQuery) -> Found:
    """One page of the query's results. Raises a 422 Problem for a cursor that does not belong to its order."""
    after = None if query.cursor is None else decode_cursor(query.cursor, lambda key: read_cursor(query, key))
    await in_transaction(connection, "READ COMMITTED")
    await connection.execute(_SETTINGS)
    below = None if query.category_id is None else await _subtree(connection, query.category_id)
    if query.q is None:
        return await _page(connection, query, below, None, after)
    found = await _page(connection, query, below, _by_text(query.q), after)
    if found.total == 0 and (letters := alike(query.q)):
        found = await _page(connection, query, below, _by_likeness(letters), after)
    return found


class _Match(NamedTuple):
    """How text is matched and ranked, how many matches are considered, and which of them if there are more."""

    condition: ColumnElement[bool]
    rank: ColumnElement[float]
    at_most: int
    foremost: Sequence[ColumnElement[Any]] = ()


# For one transaction. A generic plan is several times slower than one for the actual words.
_SETTINGS: Final = select(
    func.set_config("plan_cache_mode", "force_custom_plan", True),
    func.set_config("pg_trgm.word_similarity_threshold", str(_ALIKE), True),
)


def _by_text(words: str) -> _Match:
    """Words in name or description, by their stems; or the code."""
    wanted = func.to_tsquery(text("'english'"), tsquery(words))
    has_code = (variants.c.sku == (canonical_sku(words) or words)) | (variants.c.barcode == words)
    coded = products.c.id == any_(func.array(select(variants.c.product_id).where(has_code).scalar_subquery()))
    rank = func.ts_rank(products.c.search, wanted, _RANK_BY_LENGTH)
    return _Match(
        products.c.search.op("@@", is_comparison=True)(wanted) | coded,
        case((coded, literal(_EXACT_RANK, Double)), else_=cast(rank, Double)),
        COUNTED_MAX,
        (products.c.created_at.desc(), products.c.id.desc()),
    )


def _by_likeness(letters: str) -> _Match:
    """A similarly spelled part of the name."""
    given = literal(letters, Text)
    return _Match(
        given.op("<%", is_comparison=True)(products.c.name_alike),
        cast(func.word_similarity(given, products.c.name_alike), Double),
        ALIKE_MAX,
    )


def _conditions(query: ProductsQuery, below: Sequence[UUID] | None, match: _Match | None) -> Iterator[Any]:
    """The query's conditions on a product, except those on its variants."""
    if query.status != "any":
        yield products.c.status == query.status
    if below is not None:
        yield products.c.category_id == any_(literal(below, ARRAY(Uuid)))
    if match is not None:
        yield match.condition


def _offered(query: ProductsQuery) -> Iterator[Any]:
    """The condition that the product has a matching variant, if the query asks for one."""
    if query.asks_of_variants:
        offer = variants.alias("offer")
        yield exists().where(offer.c.product_id == products.c.id, *_fits(query, offer))


def _selection(query: ProductsQuery, conditions: Sequence[Any], match: _Match | None) -> Select[Any]:
    """All results of the query, as (id, sort key)."""
    name, _ = query.order
    if name == "price":
        # In this form, Postgres reads the price index in order, and stops when the page is full.
        offer = variants.alias("offer")
        selected = select(offer.c.product_id.label("id"), offer.c.price_minor.label("key"))
        selected = selected.join_from(offer, products, products.c.id == offer.c.product_id)
        return selected.where(*_fits(query, offer), ~_cheaper(query, offer), *conditions)
    if name == "relevance":
        assert match is not None, "without words there is no relevance"
        selected = select(products.c.id, match.rank.label("key")).where(*conditions, *_offered(query))
        return selected.order_by(*match.foremost).limit(match.at_most)
    key = products.c.created_at if name == "newest" else products.c.name_order
    return select(products.c.id, key.label("key")).where(*conditions, *_offered(query))


def _fits(query: ProductsQuery, offer: FromClause) -> Iterator[ColumnElement[bool]]:
    """The query's conditions on a variant."""
    yield offer.c.active
    if query.currency is not None:
        yield offer.c.currency == query.currency
    if query.min_price is not None:
        yield offer.c.price_minor >= query.min_price
    if query.max_price is not None:
        yield offer.c.price_minor <= query.max_price
    if query.in_stock:
        yield exists().where(stock.c.sku == offer.c.sku, stock.c.on_hand > stock.c.reserved)


def _cheaper(query: ProductsQuery, offer: FromClause) -> ColumnElement[bool]:
    """Whether the product has a cheaper matching variant."""
    other = variants.alias("other")
    return exists().where(
        other.c.product_id == offer.c.product_id,
        tuple_(other.c.price_minor, other.c.sku) < tuple_(offer.c.price_minor, offer.c.sku),
        *_fits(query, other),
    )


async def _page(
    connection: AsyncConnection,
    query: ProductsQuery,
    below: Sequence[UUID] | None,
    match: _Match | None,
    after: tuple[Any, UUID] | None,
) -> Found:
    name, falling = query.order
    conditions = list(_conditions(query, below, match))
    selected = _selection(query, conditions, match)
    at_most = match.at_most if match is not None else COUNTED_MAX if query.asks_of_variants else None
    if name == "relevance":
        # The ranked matches are read once, for both the page and the total.
        found = selected.cte("found").prefix_with("MATERIALIZED", dialect="postgresql")
        counted = select(func.count().label("total")).select_from(found).subquery("counted")
    else:
        found = selected.cte("found")
        all_of_it = select(products.c.id).where(*conditions, *_offered(query)).limit(at_most)
        counted = select(func.count().label("total")).select_from(all_of_it.subquery("all_of_it")).subquery("counted")
    page = select(found.c.key, found.c.id).limit(query.limit + 1).offset((query.page - 1) * query.limit)
    page = page.order_by(*_ordered(found, falling))
    if after is not None:
        here, last = (
            tuple_(found.c.key, found.c.id),
            tuple_(literal(after[0], found.c.key.type), literal(after[1], Uuid)),
        )
        page = page.where(here < last if falling else here > last)
    rows = page.subquery("page")
    statement = select(counted.c.total, rows.c.key, rows.c.id).select_from(counted.outerjoin(rows, true()))
    read = (await connection.execute(statement.order_by(*_ordered(rows, falling)))).all()
    there = [(row.key, row.id) for row in read if row.id is not None]
    shown, more = there[: query.limit], len(there) > query.limit
    total = read[0].total
    return Found(
        [product_id for _, product_id in shown],
        total,
        at_most is None or total < at_most,
        encode_cursor(write_cursor(name, *shown[-1])) if more else None,
    )


def _ordered(rows: FromClause, falling: bool) -> Iterator[ColumnElement[Any]]:
    for column in (rows.c.key, rows.c.id):
        yield column.desc() if falling else column


async def _subtree(connection: AsyncConnection, category_id: UUID) -> list[UUID]:
    """The category and all below it; none if there is no such category."""
    tree = select(categories.c.id).where(categories.c.id == category_id).cte("tree", recursive=True)
    tree = tree.union(select(categories.c.id).where(categories.c.parent_id == tree.c.id))
    return list((await connection.execute(select(tree.c.id))).scalars())
