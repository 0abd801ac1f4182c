"""The prices of SKUs for the caller before anything is in a basket, computed by the same functions as a quote's. Pages
of products stay the same for everybody, so that they can be cached."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal
from uuid import UUID

import msgspec
from pydantic import BaseModel
from sqlalchemy import ARRAY, Text, any_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.model import Offer, Shop
from domain.price_history import Priced, lowest_before
from domain.quote.basket import Basket
from domain.quote.places import Place
from domain.quote.quoted import Remark
from domain.quote.terms import Terms
from domain.quote.tiers import Tier, tiers
from domain.quoting import buyer_at
from domain.reductions import Reduction, reduction
from gateway.views.quoting import Quoting, load_buyer, offers_of
from gateway.web.rawjson import as_text
from runtime.tables import sku_prices, variants


class TierView(BaseModel):
    """From `min_quantity` pieces on, one costs so much. `price_list_id` is the list that says so, null for the SKU's
    own price. `compare_at_minor` is what it may be shown as reduced from, and `lowest_price_minor` the lowest of the
    30 days before that, as far as they are known."""

    min_quantity: int
    price_minor: int
    price_list_id: UUID | None
    compare_at_minor: int | None
    lowest_price_minor: int | None


class BuyerPriceView(BaseModel):
    """What a SKU costs the buyer, by how many pieces they take; or why it is not sold to them (`lacks`)."""

    sku: str
    currency: str | None
    prices: list[TierView]
    lacks: Literal["unknown_sku", "not_on_sale", "not_sold_in_currency"] | None


class BuyerPricesView(BaseModel):
    """The SKUs that were asked about, in that order, each once."""

    items: list[BuyerPriceView]


class _Shown(msgspec.Struct):
    """What a variant's prices are shown against, and when those besides its own were last changed."""

    compare_at_minor: int | None
    history: tuple[Priced, ...]
    put_at: datetime | None


async def find(
    connection: AsyncConnection,
    quoting: Quoting,
    customer_id: str | None,
    skus: Sequence[str],
    currency: str | None,
    country: str | None,
) -> BuyerPricesView:
    """The prices of SKUs for a customer or an anonymous buyer, in a currency (without one, each in its own), delivered
    to a country, if it is known."""
    wanted = list(dict.fromkeys(skus))
    terms = await quoting.terms(connection)
    shop = Shop(offers=await offers_of(connection, wanted))
    await load_buyer(connection, shop, terms, customer_id)
    rows = await connection.execute(_HISTORIES, {"skus": wanted})
    shown = {sku: _Shown(compare_at, _histories.decode(history), put_at) for sku, compare_at, history, put_at in rows}
    to, at = None if country is None else Place(country), datetime.now(UTC)
    items = []
    for sku in wanted:
        if (offer := shop.offers.get(sku)) is None:
            items.append(_lacking(sku, "unknown_sku"))
            continue
        buyer = buyer_at(shop, customer_id, currency or offer.currency, to)
        found = tiers(offer, buyer, terms, at)
        if isinstance(found, Remark):
            items.append(_lacking(sku, found.code))
        else:
            prices = [_tier(tier, offer, buyer, terms, shown[sku]) for tier in found]
            items.append(BuyerPriceView(sku=sku, currency=buyer.currency, prices=prices, lacks=None))
    return BuyerPricesView(items=items)


def _lacking(sku: str, code: str) -> BuyerPriceView:
    return BuyerPriceView.model_validate({"sku": sku, "currency": None, "prices": [], "lacks": code})


def _tier(tier: Tier, offer: Offer, buyer: Basket, terms: Terms, shown: _Shown) -> TierView:
    if tier.price_list_id is not None:
        reduced = reduction(tier, offer, buyer, terms, shown.history, shown.put_at)
    elif buyer.currency != offer.currency or tier.relieved_minor:
        reduced = Reduction()
    else:
        own = (offer.price_minor, offer.currency, shown.compare_at_minor)
        reduced = Reduction(shown.compare_at_minor, lowest_before(shown.history, *own))
    return TierView(
        min_quantity=tier.min_quantity,
        price_minor=tier.price_minor,
        price_list_id=tier.price_list_id,
        compare_at_minor=reduced.compare_at_minor,
        lowest_price_minor=reduced.lowest_price_minor,
    )


_HISTORIES: Final = (
    select(variants.c.sku, variants.c.compare_at_minor, as_text(variants.c.price_history), sku_prices.c.updated_at)
    .outerjoin(sku_prices, sku_prices.c.sku == variants.c.sku)
    .where(variants.c.sku == any_(bindparam("skus", type_=ARRAY(Text))))
)
_histories: Final = msgspec.json.Decoder(tuple[Priced, ...])
