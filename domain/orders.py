"""Orders: placed, confirmed, fulfilled; or cancelled, or expired.

Placing reserves all lines or nothing, for a limited time: an order that is not confirmed in time expires, and its
pieces are released. Confirming sells: the pieces leave the stock. Cancelling gives back whatever the order held. An
order is fulfilled when it has been sent. Cancelling and expiring are in `domain/ending.py`.
"""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Final, NamedTuple
from uuid import UUID

import msgspec

from domain.fields.people import canonical_email
from domain.ids import slot_of_id
from domain.ledgers import Move
from domain.limits import (
    ORDER_MAX_LINES,
    PRINCIPAL_MAX_CHARS,
)
from domain.model import (
    Command,
    Context,
    Event,
    Line,
    Order,
    Personal,
    Rejection,
    Shop,
    Wanted,
    evolves,
)
from domain.numbers import ORDERS
from domain.stock import releases, reserves, returns, sells

PLACED: Final = "placed"
CONFIRMED: Final = "confirmed"
FULFILLED: Final = "fulfilled"
CANCELLED: Final = "cancelled"
EXPIRED: Final = "expired"
ORDER_STATUSES: Final = (PLACED, CONFIRMED, FULFILLED, CANCELLED, EXPIRED)

GUEST_PREFIX: Final = "guest:"
"""The prefix of guests' principals; each guest has a token and no other identity."""


def is_guest(principal: str) -> bool:
    """Whether the principal is a guest."""
    return principal.startswith(GUEST_PREFIX)


class PlaceOrder(Command, frozen=True):
    """Places a quick order (see `domain/placing.py`). `email` is a guest's address for mails; a customer's is in the
    account. `identities` are those under which the buyer's limits are counted (see `domain/quote/terms/limits.py`)."""

    order_id: UUID
    customer_id: Annotated[str, msgspec.Meta(max_length=PRINCIPAL_MAX_CHARS)]
    lines: Annotated[tuple[Wanted, ...], msgspec.Meta(min_length=1, max_length=ORDER_MAX_LINES)]
    email: Personal | None = None
    identities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.email is not None and canonical_email(self.email.value) is None:
            raise ValueError("not a normalized e-mail address")

    def slot(self) -> int:
        return slot_of_id(self.order_id)


class ConfirmOrder(Command, frozen=True):
    order_id: UUID

    def slot(self) -> int:
        return slot_of_id(self.order_id)


class FulfilOrder(Command, frozen=True):
    order_id: UUID

    def slot(self) -> int:
        return slot_of_id(self.order_id)


class CancelOrder(Command, frozen=True):
    order_id: UUID

    def slot(self) -> int:
        return slot_of_id(self.order_id)


class ExpireOrder(Command, frozen=True):
    """The order's hold is over; the sender has checked the clock. If money is on its way, the order waits for it for
    the grace period."""

    order_id: UUID
    grace_seconds: Annotated[float, msgspec.Meta(ge=0)] = 0.0

    def slot(self) -> int:
        return slot_of_id(self.order_id)


class OrderPlaced(Event, frozen=True):
    """`email` is in the order's row only: see Private. The total is that of the lines and `charges_minor`: delivery and
    added tax less discounts, as the quote of its checkout says, which is told with the next event."""

    type: ClassVar[str] = "order.placed"
    series: ClassVar[str | None] = ORDERS
    order_id: UUID
    customer_id: str
    currency: str
    total_minor: int
    lines: tuple[Line, ...]
    email: Personal | None = None
    charges_minor: int = 0
    checkout_id: UUID | None = None
    number: str | None = None

    def subject(self) -> str:
        return str(self.order_id)

    def moves(self) -> Iterable[Move]:
        return reserves(self.lines)


class OrderConfirmed(Event, frozen=True):
    """`lines` are the order's own: what they reserved is sold, and leaves the stock."""

    type: ClassVar[str] = "order.confirmed"
    order_id: UUID
    customer_id: str
    lines: tuple[Line, ...]

    def subject(self) -> str:
        return str(self.order_id)

    def moves(self) -> Iterable[Move]:
        return sells(self.lines)


class OrderFulfilled(Event, frozen=True):
    type: ClassVar[str] = "order.fulfilled"
    order_id: UUID
    customer_id: str

    def subject(self) -> str:
        return str(self.order_id)


class OrderCancelled(Event, frozen=True):
    """`lines` are the order's own: what they reserved is released, or is back in stock if it was sold (`confirmed`)."""

    type: ClassVar[str] = "order.cancelled"
    order_id: UUID
    customer_id: str
    lines: tuple[Line, ...]
    confirmed: bool = False

    def subject(self) -> str:
        return str(self.order_id)

    def moves(self) -> Iterable[Move]:
        return returns(self.lines) if self.confirmed else releases(self.lines)


class OrderExpired(Event, frozen=True):
    """`lines` are the order's own: what they reserved is released."""

    type: ClassVar[str] = "order.expired"
    order_id: UUID
    customer_id: str
    lines: tuple[Line, ...]

    def subject(self) -> str:
        return str(self.order_id)

    def moves(self) -> Iterable[Move]:
        return releases(self.lines)


class Transition(NamedTuple):
    """The statuses from which an event may move an order, and the one to which it moves it."""

    sources: tuple[str, ...]
    target: str


TRANSITIONS: Final[dict[type[Event], Transition]] = {
    OrderConfirmed: Transition((PLACED,), CONFIRMED),
    OrderFulfilled: Transition((CONFIRMED,), FULFILLED),
    OrderCancelled: Transition((PLACED, CONFIRMED), CANCELLED),
    OrderExpired: Transition((PLACED,), EXPIRED),
}
"""The events that move an order to another status. No other event changes its status."""


def order_of(shop: Shop, order_id: UUID, context: Context) -> Order | Rejection:
    """The order, if it exists and the actor may act on it; otherwise a rejection."""
    order = shop.orders.get(order_id)
    if order is None or not (context.actor.is_staff or order.customer_id == context.actor.principal):
        # The same rejection for both: a customer must not learn whether another's order exists.
        return Rejection("order_not_found", "There is no such order.", {"order_id": str(order_id)})
    return order


def order_from(event: OrderPlaced) -> Order:
    """The order as it was placed."""
    return Order(
        event.order_id,
        event.customer_id,
        PLACED,
        event.currency,
        event.total_minor,
        event.lines,
        event.email,
        event.charges_minor,
        event.checkout_id,
        event.number,
    )


@evolves(OrderPlaced)
def _placed(shop: Shop, event: OrderPlaced) -> None:
    shop.orders[event.order_id] = order_from(event)


@evolves(OrderConfirmed)
@evolves(OrderFulfilled)
@evolves(OrderCancelled)
@evolves(OrderExpired)
def _moved(shop: Shop, event: OrderConfirmed | OrderFulfilled | OrderCancelled | OrderExpired) -> None:
    if order := shop.orders.get(event.order_id):
        shop.orders[order.order_id] = msgspec.structs.replace(order, status=TRANSITIONS[type(event)].target)
