"""Gift cards: issued with an amount, by staff or because somebody bought one, and usable by anyone who knows the code.

The code itself is never stored. A card has the code's hash, by which it is found and which is not in the log, and the
last characters, by which people tell their cards apart. Its balance is in the ledger of `domain/cards.py`.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

import msgspec

from domain.cards import CARDS, card_key
from domain.ids import slot_of_id
from domain.ledgers import Move
from domain.limits import GIFT_CARD_SHOWN_CHARS, ORDER_MAX_TOTAL_MINOR
from domain.model import Command, Context, Decision, Entity, Event, Rejection, Secret, Shop, decides, evolves
from domain.money import CURRENCIES


class GiftCard(Entity, frozen=True):
    """A gift card. `initial_minor` is its balance when it was issued, in minor units of `currency`; `order_id` is the
    order with which it was bought, if it was. Folding the log does not restore `code_hash`."""

    id: UUID
    code_hash: Secret | None
    shown: str
    currency: str
    initial_minor: int
    active: bool
    expires_at: datetime | None
    order_id: UUID | None

    def slot(self) -> int:
        return slot_of_id(self.id)


_Amount = Annotated[int, msgspec.Meta(ge=1, le=ORDER_MAX_TOTAL_MINOR)]
_Shown = Annotated[str, msgspec.Meta(min_length=GIFT_CARD_SHOWN_CHARS, max_length=GIFT_CARD_SHOWN_CHARS)]


class IssueGiftCard(Command, frozen=True):
    """Issues a card; has no effect if it exists already."""

    card_id: UUID
    code_hash: Secret
    shown: _Shown
    currency: str
    amount_minor: _Amount
    expires_at: datetime | None = None
    order_id: UUID | None = None

    def __post_init__(self) -> None:
        if self.currency not in CURRENCIES:
            raise ValueError(f"{self.currency!r} is not a currency")

    def slot(self) -> int:
        return slot_of_id(self.card_id)


class DisableGiftCard(Command, frozen=True):
    """Disables a card for new payments. Orders keep what they already hold of it."""

    card_id: UUID

    def slot(self) -> int:
        return slot_of_id(self.card_id)


class MailGiftCard(Command, frozen=True):
    """Mails the code of a bought card to its buyer again."""

    card_id: UUID

    def slot(self) -> int:
        return slot_of_id(self.card_id)


class GiftCardIssued(Event, frozen=True):
    """Who bought it is in the order, if it has one; its code can be worked out only by who has the key."""

    type: ClassVar[str] = "gift_card.issued"
    card_id: UUID
    code_hash: Secret | None
    shown: str
    currency: str
    amount_minor: int
    expires_at: datetime | None = None
    order_id: UUID | None = None

    def subject(self) -> str:
        return str(self.card_id)

    def moves(self) -> Iterable[Move]:
        return ((CARDS, card_key(self.card_id), self.amount_minor, 0),)


class GiftCardDisabled(Event, frozen=True):
    type: ClassVar[str] = "gift_card.disabled"
    card_id: UUID

    def subject(self) -> str:
        return str(self.card_id)


class GiftCardMailRequested(Event, frozen=True):
    """The event's actor requested it. It contains neither the code nor the address."""

    type: ClassVar[str] = "gift_card.mail_requested"
    card_id: UUID
    order_id: UUID

    def subject(self) -> str:
        return str(self.card_id)


class GiftCardUnchanged(Event, frozen=True):
    """It was issued, or disabled, before."""

    type: ClassVar[str] = "gift_card.unchanged"
    card_id: UUID

    def subject(self) -> str:
        return str(self.card_id)


@decides(IssueGiftCard)
def _issue(shop: Shop, command: IssueGiftCard, context: Context) -> Decision:
    if command.card_id in shop.of(GiftCard):
        return (GiftCardUnchanged(command.card_id),)
    issued = GiftCardIssued(
        command.card_id,
        command.code_hash,
        command.shown,
        command.currency,
        command.amount_minor,
        command.expires_at,
        command.order_id,
    )
    return (issued,)


@decides(DisableGiftCard)
def _disable(shop: Shop, command: DisableGiftCard, context: Context) -> Decision:
    card = shop.of(GiftCard).get(command.card_id)
    if card is None:
        return _not_found(command.card_id)
    return (GiftCardDisabled(card.id) if card.active else GiftCardUnchanged(card.id),)


@decides(MailGiftCard)
def _mail(shop: Shop, command: MailGiftCard, context: Context) -> Decision:
    card = shop.of(GiftCard).get(command.card_id)
    if card is None:
        return _not_found(command.card_id)
    about = {"card_id": str(card.id)}
    if card.order_id is None:
        return Rejection("gift_card_not_mailable", "It was issued by staff, who were shown its code.", about)
    if not card.active or (card.expires_at is not None and card.expires_at <= context.at):
        return Rejection("gift_card_not_mailable", "It is disabled or expired.", about)
    return (GiftCardMailRequested(card.id, card.order_id),)


def _not_found(card_id: UUID) -> Rejection:
    return Rejection("gift_card_not_found", "There is no such gift card.", {"card_id": str(card_id)})


@evolves(GiftCardIssued)
def _issued(shop: Shop, event: GiftCardIssued) -> None:
    shop.of(GiftCard)[event.card_id] = GiftCard(
        event.card_id,
        event.code_hash,
        event.shown,
        event.currency,
        event.amount_minor,
        True,
        event.expires_at,
        event.order_id,
    )


@evolves(GiftCardDisabled)
def _disabled(shop: Shop, event: GiftCardDisabled) -> None:
    if card := shop.of(GiftCard).get(event.card_id):
        shop.of(GiftCard)[card.id] = msgspec.structs.replace(card, active=False)


@evolves(GiftCardMailRequested)
@evolves(GiftCardUnchanged)
def _unchanged(shop: Shop, event: GiftCardMailRequested | GiftCardUnchanged) -> None:
    """The card stays as it is."""
