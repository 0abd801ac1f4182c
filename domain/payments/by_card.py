"""Payments by gift card and store credit. Our own ledger is their provider, so everything is carried out by the command
that requests it.

What a card pays is held when the checkout is completed, charged when the order is confirmed, and given back when the
order is cancelled or expires. Staff capture, void and refund it like any other payment.
"""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import ClassVar, Final
from uuid import UUID

from domain.cards import CARDS, card_key
from domain.ids import milliseconds_of, new_id, slot_of_id
from domain.ledgers import Move
from domain.model import Shop, evolves
from domain.payments.amounts import Change, change
from domain.payments.entries import SUCCESSES, Entry, EntryType, Kind
from domain.payments.events import PaymentEvent, add_entries
from domain.payments.payment import Capabilities, Payment
from domain.quote.quoted import PaidByCard

CONFIRMED: Final = "confirmed"
CAME_TO_NOTHING: Final = "came_to_nothing"

_CAPABILITIES: Final = Capabilities()
_DIGEST_BYTES: Final = 7

_MOVES: Final[dict[EntryType, tuple[int, int]]] = {
    SUCCESSES["authorization"]: (0, 1),
    SUCCESSES["charge"]: (-1, -1),
    SUCCESSES["cancel"]: (0, -1),
    SUCCESSES["refund"]: (1, 0),
}
"""What each minor unit of an entry adds to the posted and the pending amount."""


class _CardEvent(PaymentEvent, frozen=True):
    """What an entry of such a payment does to the card."""

    provider: str
    card_id: UUID
    entry: Entry

    def moves(self) -> Iterable[Move]:
        posted, pending = _MOVES[self.entry.type]
        amount = self.entry.amount_minor
        return ((CARDS, card_key(self.card_id), posted * amount, pending * amount),)


class CardHeld(_CardEvent, frozen=True):
    """An order holds so much of a card."""

    type: ClassVar[str] = "payment.card_held"
    currency: str

    def payment(self) -> Payment:
        """The new payment."""
        return Payment(
            self.payment_id,
            self.order_id,
            self.customer_id,
            self.provider,
            self.entry.amount_minor,
            self.currency,
            "manual",
            _CAPABILITIES,
            (self.entry,),
            card_id=self.card_id,
        )


class CardMoved(_CardEvent, frozen=True):
    """So much was charged, let go or given back, as the `entry` says; `change` as in a provider's report."""

    type: ClassVar[str] = "payment.card_moved"
    reason: str = ""
    change: Change | None = None


def holds(order_id: UUID, customer_id: str, currency: str, paid: Iterable[PaidByCard], at: datetime) -> list[CardHeld]:
    """The events by which an order holds what cards pay for it."""
    held = []
    for place, card in enumerate(paid):
        payment_id = _payment_id(order_id, card.card_id, place)
        entry = Entry(SUCCESSES["authorization"], str(payment_id), card.amount_minor, at)
        held.append(CardHeld(payment_id, order_id, customer_id, card.kind, card.card_id, entry, currency))
    return held


def _payment_id(order_id: UUID, card_id: UUID, place: int) -> UUID:
    """The id of a card's payment for an order: deterministic, in the order's slot, and sorted in the order in which the
    cards pay."""
    digest = hashlib.blake2b(order_id.bytes + card_id.bytes, digest_size=_DIGEST_BYTES).digest()
    number = place << 8 * _DIGEST_BYTES | int.from_bytes(digest)
    return new_id(milliseconds_of(order_id), slot_of_id(order_id), number)


def charges(payments: Iterable[Payment], at: datetime) -> Iterator[CardMoved]:
    """Charges what an order holds of cards, when it is confirmed."""
    for payment in payments:
        if payment.card_id is not None and payment.capturable:
            yield moved(payment, "charge", CONFIRMED, payment.capturable, at)


def returns(payments: Iterable[Payment], at: datetime) -> Iterator[CardMoved]:
    """Gives back everything that cards paid or were to pay, when the order is cancelled or expires."""
    for payment in payments:
        if payment.card_id is not None and payment.capturable:
            yield moved(payment, "cancel", CAME_TO_NOTHING, payment.capturable, at)
        if payment.card_id is not None and payment.refundable:
            yield moved(payment, "refund", CAME_TO_NOTHING, payment.refundable, at)


def moved(payment: Payment, kind: Kind, reference: str, amount_minor: int, at: datetime, reason: str = "") -> CardMoved:
    """The event that carries out a request on a card's payment."""
    assert payment.card_id is not None, "no card pays"
    entry = Entry(SUCCESSES[kind], reference, amount_minor, at)
    about = (payment.id, payment.order_id, payment.customer_id, payment.provider, payment.card_id)
    return CardMoved(*about, entry, reason, change(payment.currency, payment.entries, (*payment.entries, entry)))


@evolves(CardHeld)
def _held(shop: Shop, event: CardHeld) -> None:
    shop.of(Payment)[event.payment_id] = event.payment()


@evolves(CardMoved)
def _moved(shop: Shop, event: CardMoved) -> None:
    add_entries(shop, event.payment_id, (event.entry,))
