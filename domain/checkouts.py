"""Checkouts: orders in preparation. The cart is an open checkout; completing it places one order.

Fields may be set at any time and in any order. Nothing is reserved and no price is fixed until the checkout is
completed: then everything is decided in one command (see `domain/completion.py`). A checkout's id carries the slot of
the order that it becomes, so both are in one mailbox.
"""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Final
from uuid import UUID

import msgspec

from domain.addresses import Address
from domain.allowances import gives_back, takes_up
from domain.fields.people import canonical_email
from domain.ids import slot_of_id
from domain.ledgers import Move
from domain.limits import (
    CHECKOUT_MAX_CODES,
    CHECKOUT_MAX_GIFT_CARDS,
    CHECKOUT_NOTE_MAX_CHARS,
    ORDER_MAX_LINES,
    PROMOTION_CODE_MAX_CHARS,
    is_text,
)
from domain.model import Command, Entity, Event, Personal, Wanted
from domain.money import CURRENCIES
from domain.quote.basket import RateAnswer, TaxAnswer
from domain.quote.quoted import Quote, Take
from domain.tasks import NewTask, schedules

OPEN: Final = "open"
COMPLETED: Final = "completed"
CANCELLED: Final = "cancelled"
EXPIRED: Final = "expired"
CHECKOUT_STATUSES: Final = (OPEN, COMPLETED, CANCELLED, EXPIRED)

Lines = Annotated[tuple[Wanted, ...], msgspec.Meta(max_length=ORDER_MAX_LINES)]
Codes = Annotated[
    tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=PROMOTION_CODE_MAX_CHARS)], ...],
    msgspec.Meta(max_length=CHECKOUT_MAX_CODES),
]

GiftCards = Annotated[tuple[UUID, ...], msgspec.Meta(max_length=CHECKOUT_MAX_GIFT_CARDS)]


class CheckoutLine(msgspec.Struct, frozen=True, gc=False):
    """A SKU, and how many pieces of it."""

    sku: str
    quantity: int


class Checkout(Entity, frozen=True):
    """A checkout. Without a `currency` of its own, it has that of its first line. `address` and `billing_address` are
    sealed Addresses; `method_id` is the delivery method that was chosen. `gift_cards` pay in their order, and after
    them the customer's `store_credit`, if it is chosen. Once completed it has an `order_id` and the `quote` that the
    order was placed at, and never changes again. `version` counts its changes. `tax_question` is the last of `tax_asks`
    sealed TaxQuestions that were asked about it, and `tax_answer` what came of that; so are the three that are about
    the rates of live delivery methods."""

    id: UUID
    customer_id: str
    status: str
    currency: str | None
    lines: tuple[CheckoutLine, ...]
    email: Personal | None
    address: Personal | None
    billing_address: Personal | None
    method_id: UUID | None
    codes: tuple[str, ...]
    note: Personal | None
    order_id: UUID | None
    quote: Quote | None
    version: int
    gift_cards: tuple[UUID, ...] = ()
    store_credit: bool = False
    tax_question: Personal | None = None
    tax_asks: int = 0
    tax_answer: TaxAnswer | None = None
    rate_question: Personal | None = None
    rate_asks: int = 0
    rate_answer: RateAnswer | None = None

    def slot(self) -> int:
        return slot_of_id(self.id)


FIELDS: Final = (
    "currency",
    "lines",
    "email",
    "address",
    "billing_address",
    "method_id",
    "codes",
    "note",
    "gift_cards",
    "store_credit",
)
"""The fields that buyers set, in the order in which commands and events have them."""

CLEARABLE: Final = frozenset({"currency", "email", "address", "billing_address", "method_id", "note"})
"""The fields that can be empty, besides `lines`, `codes` and `gift_cards`, which are then empty lists."""


class SetsFields(Command, frozen=True):
    """Fields of a checkout that its owner sets. One that is None stays as it is; those named in `cleared` become
    empty."""

    checkout_id: UUID
    currency: str | None = None
    lines: Lines | None = None
    email: Personal | None = None
    address: Personal | None = None
    billing_address: Personal | None = None
    method_id: UUID | None = None
    codes: Codes | None = None
    note: Personal | None = None
    cleared: tuple[str, ...] = ()
    gift_cards: GiftCards | None = None
    store_credit: bool | None = None

    def __post_init__(self) -> None:
        if self.currency is not None and self.currency not in CURRENCIES:
            raise ValueError(f"{self.currency!r} is not a currency")
        if self.email is not None and canonical_email(self.email.value) is None:
            raise ValueError("not a normalized e-mail address")
        for sealed in (self.address, self.billing_address):
            if sealed is not None:
                Address.opened(sealed)
        if self.note is not None and not (is_text(self.note.value) and len(self.note.value) <= CHECKOUT_NOTE_MAX_CHARS):
            raise ValueError("not a note")
        if not CLEARABLE.issuperset(self.cleared):
            raise ValueError("no such field can be cleared")
        if self.lines is not None and len({wanted.sku for wanted in self.lines}) != len(self.lines):
            raise ValueError("a SKU appears once in a checkout: sum its quantities first")
        if self.gift_cards is not None and len(set(self.gift_cards)) != len(self.gift_cards):
            raise ValueError("a gift card appears once in a checkout")

    def slot(self) -> int:
        return slot_of_id(self.checkout_id)


class OpenCheckout(SetsFields, frozen=True):
    """The actor becomes the checkout's owner."""


class ChangeCheckout(SetsFields, frozen=True):
    pass


class TakeOverCheckout(SetsFields, frozen=True):
    """A guest has signed in, and continues this checkout as a customer. An open checkout of the customer's own
    (`own_id`, as of `own_version`) is merged into it: its lines are added, and its other fields fill those that the
    guest has not set. The sender has checked that the customer has the guest's token."""

    guest_id: str = ""
    own_id: UUID | None = None
    own_version: int = 0


class CancelCheckout(Command, frozen=True):
    """With a `version`, only if the checkout still has it."""

    checkout_id: UUID
    version: int | None = None

    def slot(self) -> int:
        return slot_of_id(self.checkout_id)


class ExpireCheckout(Command, frozen=True):
    """Expires a checkout that was left untouched, if it still has this `version`."""

    checkout_id: UUID
    version: int

    def slot(self) -> int:
        return slot_of_id(self.checkout_id)


class CheckoutEvent(Event, frozen=True):
    """What all events about a checkout have in common."""

    checkout_id: UUID
    customer_id: str

    def subject(self) -> str:
        return str(self.checkout_id)


class _AsItStands(CheckoutEvent, frozen=True):
    """The checkout as it stands now; what is private in it is in its row only."""

    currency: str | None
    lines: tuple[CheckoutLine, ...]
    email: Personal | None
    address: Personal | None
    billing_address: Personal | None
    method_id: UUID | None
    codes: tuple[str, ...]
    note: Personal | None
    gift_cards: tuple[UUID, ...] = ()
    store_credit: bool = False


class CheckoutOpened(_AsItStands, frozen=True):
    type: ClassVar[str] = "checkout.opened"


class CheckoutChanged(_AsItStands, frozen=True):
    type: ClassVar[str] = "checkout.changed"


class CheckoutTakenOver(_AsItStands, frozen=True):
    """It is the customer's now, and was `guest_id`'s. What was in `own_id` is in it as well."""

    type: ClassVar[str] = "checkout.taken_over"
    guest_id: str = ""
    own_id: UUID | None = None
    own_version: int = 0


@schedules(CheckoutTakenOver)
def _own_is_closed(event: CheckoutTakenOver) -> tuple[NewTask, ...]:
    """The task posts to the other checkout's mailbox, and takes effect only if that checkout was not changed since."""
    if event.own_id is None:
        return ()
    return (NewTask("cancel_checkout", str(event.own_id), {"version": event.own_version}),)


class CheckoutCompleted(CheckoutEvent, frozen=True):
    """It has become the order, at this quote. `adjusted` is by how much limits have changed since something was last
    taken from them, by their keys."""

    type: ClassVar[str] = "checkout.completed"
    order_id: UUID
    quote: Quote
    adjusted: dict[str, int] = msgspec.field(default_factory=dict)

    def moves(self) -> Iterable[Move]:
        return takes_up(self.quote.takes, self.adjusted)


class CheckoutPlaced(CheckoutCompleted, frozen=True):
    """An order was placed the quick way. Its checkout was opened and completed at once, to keep the order's quote, and
    bears the order's id."""

    type: ClassVar[str] = "checkout.placed"


class CheckoutReturned(CheckoutEvent, frozen=True):
    """Its order came to nothing, and gives back what it took from what is limited."""

    type: ClassVar[str] = "checkout.returned"
    order_id: UUID
    takes: tuple[Take, ...]

    def moves(self) -> Iterable[Move]:
        return gives_back(self.takes)


class CheckoutCancelled(CheckoutEvent, frozen=True):
    type: ClassVar[str] = "checkout.cancelled"


class CheckoutExpired(CheckoutEvent, frozen=True):
    type: ClassVar[str] = "checkout.expired"


class CheckoutUnchanged(CheckoutEvent, frozen=True):
    """It was already as somebody asked: cancelled; or completed, and this is its order."""

    type: ClassVar[str] = "checkout.unchanged"
    order_id: UUID | None = None
