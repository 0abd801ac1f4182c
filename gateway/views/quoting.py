"""Quotes of checkouts, for those who look at them: what a quote depends on is loaded, and quoted by the very function
that the batch uses which completes them."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import ARRAY, RowMapping, Text, any_, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.allowances import ALLOWANCES
from domain.cards import CARDS
from domain.checkout_rates import AskRates
from domain.checkout_taxes import AskTaxes
from domain.checkouts import OPEN, Checkout
from domain.customers import Customer, Ordered, account_of
from domain.gift_cards import GiftCard
from domain.ledgers import Balance
from domain.model import Offer, Shop, Wanted
from domain.orders import is_guest
from domain.promotion_codes import PromotionCode
from domain.quote.estimates import TAXES_PENDING, TAXES_REFUSED
from domain.quote.options import DeliveryOptions
from domain.quote.quoted import Quote, QuotedDelivery, Take
from domain.quote.terms import Terms
from domain.quote.terms.deliveries import DELIVERY_PENDING
from domain.quote.terms.limits import identities
from domain.quote.terms.promotions import Code
from domain.quoting import (
    folded_codes,
    options_of,
    quote_of,
    rates_to_ask,
    store_credit_of,
    taxes_to_ask,
    wanted_by,
)
from domain.terms import NOW
from gateway.views import cards
from gateway.views.terms import now as terms_now
from gateway.views.terms import standing_in as terms_standing_in
from gateway.web.rawjson import as_text
from runtime.entities import table_of
from runtime.offers import HAVE_ORDERED, OFFERS, offer
from runtime.tables import accounts, allowances, customers, promotion_codes
from runtime.terms import TermsMemory


class Completion(NamedTuple):
    """What it takes to complete a checkout: what the command names for the batch to load, the order that it has become
    already, and what providers have to be asked before, as this version stands."""

    lines: tuple[Wanted, ...]
    gifts: tuple[str, ...]
    codes: tuple[str, ...]
    allowances: tuple[str, ...]
    identities: tuple[str, ...]
    gift_cards: tuple[UUID, ...]
    store_credit: UUID | None
    order_id: UUID | None
    asks: tuple[AskRates | AskTaxes, ...]
    version: int


class Quoted(NamedTuple):
    """What a checkout costs, the deliveries that it could have, and what it takes to complete it. `rates_pending`: a
    provider has yet to say what others cost."""

    quote: Quote
    options: tuple[QuotedDelivery, ...]
    rates_pending: bool
    completion: Completion


class Quoting:
    """Quotes checkouts for one gateway process. `identity_key` is what buyers' addresses are counted by,
    `tax_provider` who computes taxes, if the shop does not, and `delivery_provider` who says what live methods cost."""

    def __init__(
        self, identity_key: bytes, *, tax_provider: str | None = None, delivery_provider: str | None = None
    ) -> None:
        self._memory = TermsMemory(tax_provider=tax_provider, delivery_provider=delivery_provider)
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
    ) -> Quoted:
        """What the checkout costs now; `optioned`, with the deliveries that it could have, for whose live rates a
        provider is asked then; otherwise it is asked only if one of those was chosen. What it would take from what is
        limited is known only from a quote: if it takes anything, it is quoted again, with what is left of that; and
        what comes in the place of something that is used up may be limited as well. So it is with the deliveries, which
        may take what the chosen one does not. With `explain`, the remarks say of every promotion that does not apply
        why not."""
        codes = folded_codes(checkout)
        skus = {line.sku for line in checkout.lines} | terms.gift_skus()
        shop = Shop(offers=await offers_of(connection, skus))
        shop.of(Terms)[NOW] = terms
        for code in await codes_among(connection, codes):
            shop.of(PromotionCode)[code.code] = code
        if checkout.gift_cards or checkout.store_credit:
            await _load_cards(connection, shop, checkout)
        customer_id = None if is_guest(checkout.customer_id) else checkout.customer_id
        email = await load_buyer(connection, shop, terms, customer_id)
        buyer = identities(
            customer_id, email, self._identity_key, typed=None if checkout.email is None else checkout.email.value
        )
        at = datetime.now(UTC)
        quote, keys = quote_of(shop, checkout, at, buyer, explain=explain), set[str]()
        for _ in range(_QUOTES_MAX):
            if not await _load_taken(connection, shop, quote.takes, keys):
                break
            quote = quote_of(shop, checkout, at, buyer, explain=explain)
        options = options_of(shop, checkout, at, buyer) if optioned else DeliveryOptions()
        for _ in range(_QUOTES_MAX):
            if not await _load_taken(connection, shop, options.takes, keys):
                break
            options = options_of(shop, checkout, at, buyer)
        gifts = tuple(sorted(terms.gift_skus()))
        lacking = {each.code for each in quote.requirements}
        about_rates, pending = None, False
        if terms.delivery_provider is not None and (optioned or DELIVERY_PENDING in lacking):
            about_rates, pending = _rates_to_ask(shop, checkout, at, buyer)
        about_taxes = _taxes_to_ask(shop, checkout, lacking, at, buyer)
        asks = tuple(each for each in (about_rates, about_taxes) if each is not None)
        completion = Completion(
            wanted_by(checkout),
            gifts,
            codes,
            tuple(sorted(keys)),
            buyer,
            checkout.gift_cards,
            store_credit_of(shop, checkout),
            checkout.order_id,
            asks,
            checkout.version,
        )
        return Quoted(quote, options.deliveries, pending, completion)


def _rates_to_ask(shop: Shop, checkout: Checkout, at: datetime, buyer: tuple[str, ...]) -> tuple[AskRates | None, bool]:
    """What a delivery provider has to be asked, and whether it has yet to answer."""
    if checkout.status != OPEN:
        return None, False
    question, pending = rates_to_ask(shop, checkout, at, buyer)
    return None if question is None else AskRates(checkout.id, checkout.rate_asks + 1, question.sealed()), pending


def _taxes_to_ask(
    shop: Shop, checkout: Checkout, lacking: Collection[str], at: datetime, buyer: tuple[str, ...]
) -> AskTaxes | None:
    """What a tax provider has to be asked, once it is known where the goods change hands, and what is taxed."""
    if checkout.status != OPEN or _TAXES_LACKING.isdisjoint(lacking) or not _TAXES_WAIT_FOR.isdisjoint(lacking):
        return None
    question = taxes_to_ask(shop, checkout, at, buyer)
    return None if question is None else AskTaxes(checkout.id, checkout.tax_asks + 1, question.sealed())


_TAXES_LACKING: Final = frozenset({TAXES_PENDING, TAXES_REFUSED})
_TAXES_WAIT_FOR: Final = frozenset({"address_required", DELIVERY_PENDING})


async def codes_among(connection: AsyncConnection, codes: Collection[str]) -> list[PromotionCode]:
    """Those of the folded codes that there are."""
    if not codes:
        return []
    rows = (await connection.execute(_CODES, {"codes": list(codes)})).all()
    return [PromotionCode(code, msgspec.json.decode(says, type=Code)) for code, says in rows]


_CODES: Final = select(promotion_codes.c.code, as_text(promotion_codes.c.says)).where(
    promotion_codes.c.code == any_(bindparam("codes", type_=ARRAY(Text)))
)


async def offers_of(connection: AsyncConnection, skus: Collection[str]) -> dict[str, Offer]:
    """What those of the SKUs are sold for that exist."""
    rows = (await connection.execute(_OFFERS, {"skus": list(skus)})).all()
    return {row.sku: offer(row) for row in rows}


async def _load_cards(connection: AsyncConnection, shop: Shop, checkout: Checkout) -> None:
    """Loads what is to pay, and what is on it."""
    for card in await cards.named(connection, checkout.gift_cards):
        shop.of(GiftCard)[card.id] = card
    credit_id = store_credit_of(shop, checkout)
    ids = checkout.gift_cards if credit_id is None else (*checkout.gift_cards, credit_id)
    shop.balances_of(CARDS).update(await cards.balances(connection, ids))


async def _load_taken(connection: AsyncConnection, shop: Shop, takes: Iterable[Take], keys: set[str]) -> bool:
    """Loads what was taken before of what is new in this, beside the `keys` that are known; whether anything was."""
    unknown = {take.key for take in takes} - keys
    if not unknown:
        return False
    rows = (await connection.execute(_TAKEN, {"keys": list(unknown)})).all()
    shop.balances_of(ALLOWANCES).update({key: Balance(posted, pending) for key, posted, pending in rows})
    keys |= unknown
    return True


async def load_buyer(connection: AsyncConnection, shop: Shop, terms: Terms, customer_id: str | None) -> str | None:
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
