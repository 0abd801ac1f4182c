"""Gift cards as staff and their owners see them, and customers' store credit. Nobody is shown a code again."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import ColumnElement, Text, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.cards import card_key, store_credit_id
from domain.gift_cards import GiftCard
from domain.ledgers import Balance
from domain.money import CURRENCIES
from gateway.web.pages import Page, made_key, newest_first, page_of
from runtime.entities import table_of
from runtime.tables import card_balances, gift_cards


class GiftCardView(BaseModel):
    """A gift card. On it are `balance_minor`; of that, orders that are not confirmed yet hold `held_minor`."""

    id: UUID
    shown: str
    currency: str
    initial_minor: int
    balance_minor: int
    held_minor: int
    active: bool
    expires_at: datetime | None
    order_id: UUID | None
    created_at: datetime
    updated_at: datetime


class NewGiftCardView(GiftCardView):
    """A gift card with its code, which is shown this once; null if the key that codes are worked out with has changed
    since the card was issued."""

    code: str | None


class GiftCardBalanceView(BaseModel):
    """What somebody who knows the code can still pay with the card."""

    shown: str
    currency: str
    available_minor: int
    expires_at: datetime | None


class StoreCreditView(BaseModel):
    """A customer's store credit in one currency. Of `balance_minor`, orders that are not confirmed yet hold
    `held_minor`."""

    currency: str
    balance_minor: int
    held_minor: int


class StoreCreditsView(BaseModel):
    """A customer's store credit, in each currency that there ever was any in."""

    customer_id: str
    items: list[StoreCreditView]


class CardOfCheckoutView(BaseModel):
    """A gift card that is to pay. `shown` is what it is known by, never its code."""

    card_id: UUID
    shown: str


_BALANCE: Final = card_balances.c.key == cast(gift_cards.c.id, Text)
_CARDS: Final = select(
    *(gift_cards.c[name] for name in GiftCardView.model_fields if name in gift_cards.c),
    card_balances.c.posted.label("balance_minor"),
    card_balances.c.pending.label("held_minor"),
).join(card_balances, _BALANCE)


async def find(connection: AsyncConnection, card_id: UUID) -> GiftCardView | None:
    """The gift card, if there is one."""
    row = (await connection.execute(_CARDS.where(gift_cards.c.id == card_id))).mappings().one_or_none()
    return None if row is None else GiftCardView(**row)


async def newest(connection: AsyncConnection, cursor: str | None, limit: int) -> Page[GiftCardView]:
    """Gift cards, newest first."""
    query = newest_first(_CARDS, gift_cards, cursor, limit)
    views = [GiftCardView(**row) for row in (await connection.execute(query)).mappings()]
    return page_of(views, limit, lambda view: made_key(view.created_at, view.id))


async def code_hash_of(connection: AsyncConnection, card_id: UUID) -> str | None:
    """The hash of the card's code."""
    found: str | None = await connection.scalar(select(gift_cards.c.code_hash).where(gift_cards.c.id == card_id))
    return found


async def usable(connection: AsyncConnection, code_hashes: Sequence[str | None]) -> list[GiftCardView] | None:
    """The gift cards with these codes, in their order; None if one of them is unusable for any reason."""
    query = _CARDS.add_columns(gift_cards.c.code_hash).where(
        gift_cards.c.code_hash.in_([each for each in code_hashes if each is not None]), _CAN_PAY
    )
    found = {row["code_hash"]: GiftCardView(**row) for row in (await connection.execute(query)).mappings()}
    cards = [found[each] for each in code_hashes if each in found]
    return cards if len(cards) == len(code_hashes) else None


_CAN_PAY: Final[ColumnElement[bool]] = (
    gift_cards.c.active
    & (gift_cards.c.expires_at.is_(None) | (gift_cards.c.expires_at > func.now()))
    & (card_balances.c.posted > card_balances.c.pending)
)


async def named(connection: AsyncConnection, card_ids: Sequence[UUID]) -> list[GiftCard]:
    """The states of these gift cards, in this order."""
    if not card_ids:
        return []
    rows = (await connection.execute(select(gift_cards).where(gift_cards.c.id.in_(card_ids)))).mappings()
    found = {row["id"]: table_of(GiftCard).read(dict(row)) for row in rows}
    return [card for each in card_ids if isinstance(card := found.get(each), GiftCard)]


async def balances(connection: AsyncConnection, card_ids: Iterable[UUID]) -> dict[str, Balance]:
    """The balances of these cards, by their keys in the ledger."""
    query = select(card_balances).where(card_balances.c.key.in_([card_key(each) for each in card_ids]))
    return {key: Balance(posted, pending) for key, posted, pending in await connection.execute(query)}


async def store_credit(connection: AsyncConnection, customer_id: str) -> StoreCreditsView:
    """The customer's store credit. It is in a closed set of currencies, so its keys are known."""
    cards = {currency: store_credit_id(customer_id, currency) for currency in sorted(CURRENCIES)}
    found = await balances(connection, cards.values())
    items = [
        StoreCreditView(currency=currency, balance_minor=balance.posted, held_minor=balance.pending)
        for currency, card_id in cards.items()
        if (balance := found.get(card_key(card_id))) is not None
    ]
    return StoreCreditsView(customer_id=customer_id, items=items)
