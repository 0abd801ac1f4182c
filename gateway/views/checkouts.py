"""Checkouts as their owners see them: what was set, what it costs now or was ordered at, and what it lacks."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple, Self
from uuid import UUID

import msgspec
from pydantic import BaseModel
from sqlalchemy import ARRAY, RowMapping, Text, any_, bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.addresses import Address
from domain.allowances import ALLOWANCES
from domain.cards import CARDS
from domain.checkouts import OPEN, Checkout
from domain.customers import Customer, Ordered, account_of
from domain.gift_cards import GiftCard
from domain.ledgers import Balance
from domain.model import Actor, Personal, Shop, Wanted
from domain.orders import is_guest
from domain.promotion_codes import PromotionCode
from domain.quote.quoted import Quote, QuotedDelivery
from domain.quote.terms import Terms
from domain.quote.terms.limits import identities
from domain.quote.terms.promotions import Code, folded_code
from domain.quoting import folded_codes, options_of, quote_of, store_credit_of, wanted_by
from domain.terms import NOW
from gateway.views import cards
from gateway.views.cards import CardOfCheckoutView
from gateway.views.orders import OrderView
from gateway.views.payments import PaymentView
from gateway.views.quotes import QuoteView, RemarkView, shown
from gateway.views.terms import STANDING
from gateway.views.terms import now as terms_now
from gateway.views.terms import standing_in as terms_standing_in
from gateway.web.rawjson import as_text
from runtime.entities import table_of
from runtime.offers import HAVE_ORDERED, OFFERS, offer
from runtime.tables import accounts, allowances, checkouts, customers, promotion_codes
from runtime.terms import TermsMemory


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
    choose from for its lines and address, while it is open; at most 20."""

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


class Completion(NamedTuple):
    """What it takes to complete a checkout: what the command names for the batch to load, and the order that it has
    become already."""

    lines: tuple[Wanted, ...]
    gifts: tuple[str, ...]
    codes: tuple[str, ...]
    allowances: tuple[str, ...]
    identities: tuple[str, ...]
    gift_cards: tuple[UUID, ...]
    store_credit: UUID | None
    order_id: UUID | None


class _Quoted(NamedTuple):
    quote: Quote
    options: tuple[QuotedDelivery, ...]
    completion: Completion


class Quoting:
    """Quotes checkouts for one gateway process. `identity_key` is what buyers' addresses are counted by."""

    def __init__(self, identity_key: bytes) -> None:
        self._memory = TermsMemory()
        self._identity_key = identity_key

    async def terms(self, connection: AsyncConnection, row: RowMapping | None = None) -> Terms:
        """The terms as of now, or of a checkout's row."""
        if row is None:
            return await terms_now(connection, self._memory)
        return await terms_standing_in(row, connection, self._memory)

    async def quote(
        self,
        connection: AsyncConnection,
        checkout: Checkout,
        terms: Terms,
        *,
        optioned: bool = False,
        explain: bool = False,
    ) -> _Quoted:
        """What the checkout costs now; `optioned`, with the deliveries that it could have. What it would take from what
        is limited is known only from a quote: if it takes anything, it is quoted again, with what is left of that; and
        what comes in the place of something that is used up may be limited as well. With `explain`, the remarks say of
        every promotion that does not apply why not."""
        codes = folded_codes(checkout)
        skus = {line.sku for line in checkout.lines} | terms.gift_skus()
        rows = (await connection.execute(_OFFERS, {"skus": list(skus)})).all()
        shop = Shop(offers={row.sku: offer(row) for row in rows})
        shop.of(Terms)[NOW] = terms
        for code in await _codes(connection, codes):
            shop.of(PromotionCode)[code.code] = code
        if checkout.gift_cards or checkout.store_credit:
            await _load_cards(connection, shop, checkout)
        customer_id = None if is_guest(checkout.customer_id) else checkout.customer_id
        email = await _load_buyer(connection, shop, terms, customer_id)
        buyer = identities(customer_id, email, self._identity_key, typed=_opened(checkout.email))
        at = datetime.now(UTC)
        quote, keys = quote_of(shop, checkout, at, buyer, explain=explain), set[str]()
        for _ in range(_QUOTES_MAX):
            unknown = {take.key for take in quote.takes} - keys
            if not unknown:
                break
            rows = (await connection.execute(_TAKEN, {"keys": list(unknown)})).all()
            shop.balances_of(ALLOWANCES).update({key: Balance(posted, pending) for key, posted, pending in rows})
            keys |= unknown
            quote = quote_of(shop, checkout, at, buyer, explain=explain)
        gifts = tuple(sorted(terms.gift_skus()))
        completion = Completion(
            wanted_by(checkout),
            gifts,
            codes,
            tuple(sorted(keys)),
            buyer,
            checkout.gift_cards,
            store_credit_of(shop, checkout),
            checkout.order_id,
        )
        return _Quoted(quote, options_of(shop, checkout, at, buyer) if optioned else (), completion)


async def find(connection: AsyncConnection, quoting: Quoting, actor: Actor, checkout_id: UUID) -> CheckoutView | None:
    """The checkout, if there is one that `actor` may see."""
    found = await _row(connection, actor, checkout_id)
    if found is None:
        return None
    checkout = _state(found)
    quote, options = checkout.quote, tuple[QuotedDelivery, ...]()
    if checkout.status == OPEN:
        terms = await quoting.terms(connection, found)
        quote, options, _ = await quoting.quote(connection, checkout, terms, optioned=True)
    return CheckoutView(
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


async def know_codes(connection: AsyncConnection, typed: Collection[str]) -> bool:
    """Whether there is each of these codes of promotions, as they were typed."""
    wanted = set(map(folded_code, typed))
    return wanted == {found.code for found in await _codes(connection, wanted) if found.says.active}


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


async def _codes(connection: AsyncConnection, codes: Collection[str]) -> list[PromotionCode]:
    if not codes:
        return []
    rows = (await connection.execute(_CODES, {"codes": list(codes)})).all()
    return [PromotionCode(code, msgspec.json.decode(says, type=Code)) for code, says in rows]


_CODES: Final = select(promotion_codes.c.code, as_text(promotion_codes.c.says)).where(
    promotion_codes.c.code == any_(bindparam("codes", type_=ARRAY(Text)))
)


async def _load_cards(connection: AsyncConnection, shop: Shop, checkout: Checkout) -> None:
    """Loads what is to pay, and what is on it."""
    for card in await cards.named(connection, checkout.gift_cards):
        shop.of(GiftCard)[card.id] = card
    credit_id = store_credit_of(shop, checkout)
    ids = checkout.gift_cards if credit_id is None else (*checkout.gift_cards, credit_id)
    shop.balances_of(CARDS).update(await cards.balances(connection, ids))


async def _load_buyer(connection: AsyncConnection, shop: Shop, terms: Terms, customer_id: str | None) -> str | None:
    """Loads what the customer buys as, and whether they have ordered before, if that matters. Returns the account's
    address, if there is an account."""
    if customer_id is None:
        return None
    email: str | None = None
    if (account_id := account_of(customer_id)) is not None:
        row = (await connection.execute(_CUSTOMER, {"account_id": account_id})).mappings().one_or_none()
        email = None if row is None else row["email"]
        if row is not None and row["id"] is not None:
            shop.others[Customer] = {account_id: table_of(Customer).read(dict(row))}
    if terms.for_first_orders:
        for one, earlier in await connection.execute(_ORDERED, {"customers": [customer_id]}):
            shop.of(Ordered)[one] = Ordered(one, earlier)
    return email


_CUSTOMER: Final = (
    select(accounts.c.email, *(customers.c[name] for name in table_of(Customer).fields))
    .select_from(accounts.outerjoin(customers, customers.c.id == accounts.c.id))
    .where(accounts.c.id == bindparam("account_id"))
)
# So many promotions that are used up, one after the other, are seen for what they are.
_QUOTES_MAX: Final = 16

_TAKEN: Final = select(allowances.c.key, allowances.c.posted, allowances.c.pending).where(
    allowances.c.key == any_(bindparam("keys", type_=ARRAY(Text)))
)
_OFFERS: Final = text(OFFERS.format(skus=":skus"))
_ORDERED: Final = text(HAVE_ORDERED.format(customers="CAST(:customers AS text[])"))


def address_of(sealed: Personal | None) -> AddressView | None:
    """The address, if there is one."""
    return None if sealed is None else AddressView(**msgspec.structs.asdict(Address.opened(sealed)))


def _opened(sealed: Personal | None) -> str | None:
    return None if sealed is None else sealed.value
