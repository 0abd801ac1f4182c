"""Store credit: a customer's money that the shop keeps, one balance per currency. Staff grant it and take it back; it
pays for orders like a gift card.
"""

from collections.abc import Iterable
from typing import Annotated, ClassVar
from uuid import UUID

import msgspec

from domain.cards import CARDS, card_key, store_credit_id
from domain.ids import slot_of_key
from domain.ledgers import Move
from domain.limits import ORDER_MAX_TOTAL_MINOR, PRINCIPAL_MAX_CHARS, REASON_MAX_CHARS
from domain.model import Command, Context, Decision, Event, Rejection, Shop, decides, evolves
from domain.money import CURRENCIES
from domain.orders import is_guest


class ChangeStoreCredit(Command, frozen=True):
    """Staff grant a customer this amount, or take it back if it is negative."""

    customer_id: Annotated[str, msgspec.Meta(min_length=1, max_length=PRINCIPAL_MAX_CHARS)]
    currency: str
    amount_minor: Annotated[int, msgspec.Meta(ge=-ORDER_MAX_TOTAL_MINOR, le=ORDER_MAX_TOTAL_MINOR)]
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=REASON_MAX_CHARS)]

    def __post_init__(self) -> None:
        if self.currency not in CURRENCIES:
            raise ValueError(f"{self.currency!r} is not a currency")
        if self.amount_minor == 0:
            raise ValueError("nothing to grant or take back")
        if is_guest(self.customer_id):
            raise ValueError("a guest has no store credit")

    def slot(self) -> int:
        return slot_of_key(self.customer_id)


class StoreCreditChanged(Event, frozen=True):
    type: ClassVar[str] = "store_credit.changed"
    customer_id: str
    currency: str
    amount_minor: int
    reason: str

    @property
    def card_id(self) -> UUID:
        """The card in the ledger that holds it."""
        return store_credit_id(self.customer_id, self.currency)

    def subject(self) -> str:
        return self.customer_id

    def moves(self) -> Iterable[Move]:
        return ((CARDS, card_key(self.card_id), self.amount_minor, 0),)


@decides(ChangeStoreCredit)
def _change(shop: Shop, command: ChangeStoreCredit, context: Context) -> Decision:
    key = card_key(store_credit_id(command.customer_id, command.currency))
    balance, taken_minor = shop.balance(CARDS, key), -command.amount_minor
    if taken_minor > balance.available:
        return Rejection(
            "store_credit_too_low",
            "The customer has less store credit than that.",
            {"available_minor": balance.available},
            {(CARDS, key): taken_minor},
        )
    if balance.posted + command.amount_minor > ORDER_MAX_TOTAL_MINOR:
        return Rejection(
            "store_credit_too_high",
            f"A customer's store credit is at most {ORDER_MAX_TOTAL_MINOR} minor units.",
            {"limit_minor": ORDER_MAX_TOTAL_MINOR},
        )
    return (StoreCreditChanged(command.customer_id, command.currency, command.amount_minor, command.reason),)


@evolves(StoreCreditChanged)
def _changed(shop: Shop, event: StoreCreditChanged) -> None:
    """The event has no effects besides its moves."""
