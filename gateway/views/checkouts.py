"""Checkouts as their owners see them: what was set, what it costs now or was ordered at, and what it lacks."""

from collections.abc import Collection
from datetime import datetime
from typing import Final, Literal, NamedTuple, Self
from uuid import UUID

import msgspec
from pydantic import BaseModel
from sqlalchemy import RowMapping, bindparam, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.addresses import Address
from domain.checkout_rates import AskRates
from domain.checkout_taxes import AskTaxes
from domain.checkouts import OPEN, Checkout
from domain.model import Actor, Personal
from domain.quote.estimates import TAXES_REFUSED
from domain.quote.quoted import QuotedDelivery
from domain.quote.terms.promotions import folded_code
from gateway.views import cards
from gateway.views.cards import CardOfCheckoutView
from gateway.views.orders import OrderView
from gateway.views.payments import PaymentView
from gateway.views.quotes import QuoteView, RemarkView, shown
from gateway.views.quoting import Completion, Quoting, codes_among
from gateway.views.terms import STANDING
from gateway.web.rawjson import as_text
from runtime.entities import table_of
from runtime.tables import checkouts


class CheckoutLineView(BaseModel):
    """A SKU and how many pieces of it."""

    sku: str
    quantity: int


class AddressView(BaseModel):
    """A postal address."""

    name: str
    line1: str
    line2: str
    city: str
    region: str
    postal_code: str
    country: str


class DeliveryOptionView(BaseModel):
    """A way in which the checkout can be delivered, and what that would cost: after discounts, with taxes."""

    method_id: UUID
    name: str
    kind: str
    price_minor: int

    @classmethod
    def of(cls, delivery: QuotedDelivery) -> Self:
        return cls(
            method_id=delivery.method_id, name=delivery.name, kind=delivery.kind, price_minor=delivery.gross_minor
        )


class CheckoutView(BaseModel):
    """A checkout. `quote` is what it costs now or, once it is completed, what its order was placed at. `requirements`
    is what it lacks to be completed: `complete` refuses with the same list. `delivery_options` are the methods to
    choose from for its lines and address, while it is open; at most 20. `delivery_options_pending`: a carrier's
    price is being requested, so there may soon be more of them."""

    id: UUID
    customer_id: str
    status: Literal["open", "completed", "cancelled", "expired"]
    currency: str | None
    lines: list[CheckoutLineView]
    email: str | None
    address: AddressView | None
    billing_address: AddressView | None
    method_id: UUID | None
    delivery_options: list[DeliveryOptionView]
    delivery_options_pending: bool
    codes: list[str]
    gift_cards: list[CardOfCheckoutView]
    use_store_credit: bool
    note: str | None
    order_id: UUID | None
    quote: QuoteView | None
    requirements: list[RemarkView]
    version: int
    created_at: datetime
    updated_at: datetime


class OpenedView(CheckoutView):
    """A checkout that was just opened. A guest gets the bearer token for it, which cannot be shown again."""

    guest_token: str | None = None


class CompletedView(OrderView):
    """The order that a checkout has become, and its newest payment by a provider, if there is one."""

    payment: PaymentView | None


class Found(NamedTuple):
    """A checkout, and what has to be asked of providers before it can be completed."""

    view: CheckoutView
    asks: tuple[AskRates | AskTaxes, ...]


async def find(connection: AsyncConnection, quoting: Quoting, actor: Actor, checkout_id: UUID) -> Found | None:
    """The checkout, if there is one that `actor` may see. Whoever sees that the tax provider has refused to answer does
    not have it asked again."""
    found = await _row(connection, actor, checkout_id)
    if found is None:
        return None
    checkout = _state(found)
    quote, options, pending, asks = (
        checkout.quote,
        tuple[QuotedDelivery, ...](),
        False,
        tuple[AskRates | AskTaxes, ...](),
    )
    if checkout.status == OPEN:
        terms = await quoting.terms(connection, found)
        quote, options, pending, completion = await quoting.quote(connection, checkout, terms, optioned=True)
        refused = any(each.code == TAXES_REFUSED for each in quote.requirements)
        asks = tuple(each for each in completion.asks if not (refused and isinstance(each, AskTaxes)))
    view = CheckoutView(
        id=checkout.id,
        customer_id=checkout.customer_id,
        status=found["status"],
        currency=checkout.currency,
        lines=[CheckoutLineView(sku=line.sku, quantity=line.quantity) for line in checkout.lines],
        email=_opened(checkout.email),
        address=address_of(checkout.address),
        billing_address=address_of(checkout.billing_address),
        method_id=checkout.method_id,
        delivery_options=[DeliveryOptionView.of(option) for option in options],
        delivery_options_pending=pending,
        codes=list(checkout.codes),
        gift_cards=[
            CardOfCheckoutView(card_id=card.id, shown=card.shown)
            for card in await cards.named(connection, checkout.gift_cards)
        ],
        use_store_credit=checkout.store_credit,
        note=_opened(checkout.note),
        order_id=checkout.order_id,
        quote=None if quote is None else shown(quote),
        requirements=[] if quote is None else [RemarkView.of(remark) for remark in quote.requirements],
        version=checkout.version,
        created_at=found["created_at"],
        updated_at=found["updated_at"],
    )
    return Found(view, asks)


async def own(connection: AsyncConnection, customer_id: str, other_than: UUID) -> Checkout | None:
    """The open checkout that the customer touched last, if there is another one."""
    query = (
        select(*_COLUMNS)
        .where(checkouts.c.customer_id == customer_id, checkouts.c.status == OPEN, checkouts.c.id != other_than)
        .order_by(checkouts.c.updated_at.desc())
        .limit(1)
    )
    found = (await connection.execute(query)).mappings().one_or_none()
    return None if found is None else _state(found)


async def completion(
    connection: AsyncConnection, quoting: Quoting, actor: Actor, checkout_id: UUID
) -> Completion | None:
    """What it takes to complete a checkout that `actor` may see."""
    found = await _row(connection, actor, checkout_id)
    if found is None:
        return None
    return (await quoting.quote(connection, _state(found), await quoting.terms(connection, found))).completion


async def known_codes(connection: AsyncConnection, typed: Collection[str]) -> dict[str, bool]:
    """The codes of promotions among these, as they were typed, each with whether it is active."""
    folded = {code: folded_code(code) for code in typed}
    found = {each.code: each.says.active for each in await codes_among(connection, set(folded.values()))}
    return {code: found[known] for code, known in folded.items() if known in found}


async def _row(connection: AsyncConnection, actor: Actor, checkout_id: UUID) -> RowMapping | None:
    if actor.is_staff:
        found = await connection.execute(_ANY_ONE, {"checkout_id": checkout_id})
    else:
        found = await connection.execute(_ONE, {"checkout_id": checkout_id, "principal": actor.principal})
    return found.mappings().one_or_none()


_COLUMNS: Final = [
    as_text(column).label(column.name) if isinstance(column.type, JSONB) else column for column in checkouts.c
]
# Whole statements: to put one together takes longer than to ask Postgres.
_ANY_ONE: Final = select(*_COLUMNS, *STANDING).where(checkouts.c.id == bindparam("checkout_id"))
_ONE: Final = _ANY_ONE.where(checkouts.c.customer_id == bindparam("principal"))


def _state(row: RowMapping) -> Checkout:
    state = table_of(Checkout).read(dict(row))
    assert isinstance(state, Checkout)
    return state


def address_of(sealed: Personal | None) -> AddressView | None:
    """The address, if there is one."""
    return None if sealed is None else AddressView(**msgspec.structs.asdict(Address.opened(sealed)))


def _opened(sealed: Personal | None) -> str | None:
    return None if sealed is None else sealed.value
