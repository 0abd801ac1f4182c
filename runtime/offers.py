"""The statements that read what a quote depends on: the offers of SKUs, and the customer's earlier orders."""

from typing import Any, Final
from uuid import UUID

import msgspec

from domain.catalogue import DIGITAL, GIFT_CARD
from domain.model import Offer, Price
from domain.orders import CANCELLED, EXPIRED

OFFERS: Final = """
    WITH RECURSIVE above (sku, id, parent_id, height) AS (
        SELECT v.sku, c.id, c.parent_id, 0 FROM variants v
        JOIN products p ON p.id = v.product_id JOIN categories c ON c.id = p.category_id
        WHERE v.sku = ANY((SELECT CAST({skus} AS text[]))::text[])
        UNION ALL
        SELECT a.sku, c.id, c.parent_id, a.height + 1 FROM above a JOIN categories c ON c.id = a.parent_id
    )
    SELECT sku, price_minor, currency, on_sale, product_id,
        (SELECT array_agg(a.id ORDER BY a.height DESC) FROM above a WHERE a.sku = v.sku) AS category_ids,
        weight_grams, kind, tax_class,
        (SELECT CAST(s.prices AS text) FROM sku_prices s WHERE s.sku = v.sku) AS prices
    FROM variants v WHERE sku = ANY((SELECT CAST({skus} AS text[]))::text[])
"""
"""The offers of these SKUs (a parameter: an array of text); the path to a category begins at the root. The array is in
a subquery so that Postgres does not see its length when it plans. Otherwise it would assume that the generic plan is
more expensive and plan the statement again at every use, which takes longer than executing it."""


HAVE_ORDERED: Final = f"""
    SELECT c.id, EXISTS (
        SELECT FROM orders o WHERE o.customer_id = c.id AND o.status NOT IN ('{CANCELLED}', '{EXPIRED}')
    ) AS earlier
    FROM unnest({{customers}}) AS c (id)
"""  # noqa: S608 - names of ours
"""Which of these customers have an order that was neither cancelled nor expired."""

_prices: Final = msgspec.json.Decoder(tuple[Price, ...])


def offer(row: Any) -> Offer:
    """The offer in a row of OFFERS."""
    sku, price_minor, currency, on_sale, product_id, category_ids, weight_grams, kind, tax_class, prices = row
    return Offer(
        sku,
        price_minor,
        currency,
        on_sale,
        () if prices is None else _prices.decode(prices),
        product_id=UUID(int=product_id.int),
        category_ids=tuple(UUID(int=each.int) for each in category_ids or ()),
        tax_class=tax_class,
        weight_grams=weight_grams or 0,
        digital=kind == DIGITAL,
        gift_card=kind == GIFT_CARD,
    )
