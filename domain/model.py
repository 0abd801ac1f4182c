"""The basic types of the domain: command, event, rejection, the shop's state; and how rules are registered.

A rule is a plain function next to its command or event: `@decides(PlaceOrder)` returns the events, `@evolves(
OrderPlaced)` applies one; the event itself declares its moves in the ledgers. `decide` never changes the shop; `evolve`
never refuses. A worker calls both in mailbox order; `tidegate verify` folds the whole log with `evolve` again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Self, TypeVar, get_args, get_type_hints
from uuid import UUID

import msgspec

from domain.ids import slot_of_id
from domain.ledgers import EMPTY, Balance, Ledger, Move, Short
from domain.limits import CHECKOUT_LINE_MAX_QUANTITY
from domain.roles import SCOPES_OF_ROLE, is_staff

_State = TypeVar("_State", bound=msgspec.Struct)


class Command(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True, forbid_unknown_fields=True):
    """Something a principal asks for. The order of fields is the wire format: append new ones, with defaults. Any other
    change requires a higher `schema_version` and a registered upcast from the previous one (see
    `domain/versions.py`)."""

    schema_version: ClassVar[int] = 1

    def slot(self) -> int:
        """The slot that this command is applied in, 0..4095: all commands about one thing share its slot."""
        raise NotImplementedError(type(self).__name__)  # every type defines its own


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that happened: one line of the log. It can be folded without looking anything up. A field with a
    default may be added; any other change requires a higher `schema_version` and a registered upcast from the previous
    one (see `domain/versions.py`)."""

    type: ClassVar[str]
    schema_version: ClassVar[int] = 1
    series: ClassVar[str | None] = None
    """The series (see `domain/numbers.py`) whose next number the event takes, in its last field, `number`. That is None
    until the event gets its place in the log."""

    def subject(self) -> str:
        """What it happened to: an order's id, a SKU, or a command's id."""
        raise NotImplementedError(type(self).__name__)  # every type defines its own

    def moves(self) -> Iterable[Move]:
        """Its moves in the ledgers."""
        return ()


class Rejection(msgspec.Struct, frozen=True, gc=False):
    """Why a command was rejected: a stable `code`, a sentence, and the particulars (JSON-ready). `short` is how much
    the command would have taken from each balance that had less: once that much is available, the rejection is no
    longer right."""

    code: str
    detail: str
    particulars: dict[str, Any] = {}
    short: Short = {}


class Actor(msgspec.Struct, frozen=True, gc=False):
    """The principal on whose behalf a command runs, with the role and scopes (see `domain/roles.py`), and whether the
    command was accepted by a process in development, whose credentials production rejects."""

    principal: str
    role: str
    scopes: frozenset[str]
    development: bool = False

    @classmethod
    def in_role(cls, principal: str, role: str) -> Self:
        """The principal with every scope of the role."""
        return cls(principal, role, SCOPES_OF_ROLE[role])

    @property
    def is_staff(self) -> bool:
        """Whether the role allows acting on what belongs to others."""
        return is_staff(self.role)


class Context(msgspec.Struct, frozen=True, gc=False):
    """What a rule knows besides the shop and its command: who acts, and `at`, the time of the batch that applies the
    command. Rules have no other clock."""

    actor: Actor
    at: datetime


class Private:
    """A value that is stored only in rows, where it can be blanked. Commands carry it, but it is null in the log and
    blank in the record of its command. Its repr, which may end up in an error message, does not show it either."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, Private) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"


class Secret(Private):
    """A secret that grants access or proves an identity, such as a hash or a key. It is shown only to the person for
    whom it was created."""

    __slots__ = ()


class Personal(Private):
    """Data that identifies a person, such as a name or an address. It is shown to those who may see it."""

    __slots__ = ()


@cache
def private_fields(kind: type[msgspec.Struct]) -> Mapping[str, type[Private]]:
    """The private fields of a command, event or state, with their types."""
    hints = get_type_hints(kind)
    found = {}
    for name in kind.__struct_fields__:
        for part in (hints[name], *get_args(hints[name])):
            if isinstance(part, type) and issubclass(part, Private):
                found[name] = part
    return found


def holds_private(said: msgspec.Struct) -> bool:
    """Whether a command, event or state contains anything private."""
    return any(getattr(said, name) is not None for name in private_fields(type(said)))


class Price(msgspec.Struct, frozen=True, gc=False):
    """What one piece costs, in minor units of `currency`: on a price list, or of itself in another currency than its
    own. It is for orders of at least `min_quantity` pieces."""

    currency: str
    price_minor: int
    price_list_id: UUID | None = None
    min_quantity: int = 1


class Offer(msgspec.Struct, frozen=True, gc=False):
    """What a SKU is sold for. `price_minor` is in the minor units of `currency` (ISO 4217), per piece; `prices` are all
    the others that it has. `category_ids` is the way to its category, from the root. `digital` goods need no delivery;
    a `gift_card` is money of another kind, so it is neither taxed nor reduced when it is sold."""

    sku: str
    price_minor: int
    currency: str
    on_sale: bool = True
    prices: tuple[Price, ...] = ()
    product_id: UUID | None = None
    category_ids: tuple[UUID, ...] = ()
    tax_class: str = "standard"
    weight_grams: int = 0
    digital: bool = False
    gift_card: bool = False


class Wanted(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A line as the customer requests it, without a price: that comes from the catalogue."""

    sku: str
    quantity: Annotated[int, msgspec.Meta(ge=1, le=CHECKOUT_LINE_MAX_QUANTITY)]


class Line(msgspec.Struct, frozen=True, gc=False):
    """One SKU of an order; `unit_price_minor` is the catalogue's price when the order was applied."""

    sku: str
    quantity: int
    unit_price_minor: int


class Entity(msgspec.Struct, frozen=True):
    """Something that changes over time: an order, a product, an account. Its slot owns it, and only commands of that
    slot may change it. If two mailboxes wrote it, each from the state that it had read, one of the updates would be
    lost silently."""

    def slot(self) -> int:
        """The slot that owns it, 0..4095. It never changes."""
        raise NotImplementedError(type(self).__name__)  # every kind defines its own


class Order(Entity, frozen=True, gc=False):
    """An order. `status` is one of OrderStatus. `charges_minor` is the rest of the total besides the lines: delivery
    and added tax, less all discounts. `checkout_id` is the checkout that it came from, if any. `number` is the order
    number for people; it is None in the batch that places the order, because numbers are assigned when the batch is
    written."""

    order_id: UUID
    customer_id: str
    status: str
    currency: str
    total_minor: int
    lines: tuple[Line, ...]
    email: Personal | None = None
    charges_minor: int = 0
    checkout_id: UUID | None = None
    number: str | None = None

    @property
    def is_quick(self) -> bool:
        """Whether it is a quick order. The checkout that keeps a quick order's quote has the order's id."""
        return self.checkout_id is None or self.checkout_id == self.order_id

    def slot(self) -> int:
        return slot_of_id(self.order_id)


class Shop(msgspec.Struct, gc=False):
    """The state that a run of commands is decided on: only what they need, in memory, changed only by `evolve`.

    Kinds of state that most commands use have fields; all other kinds are reached through `of`.
    """

    offers: dict[str, Offer] = {}
    balances: dict[Ledger, dict[str, Balance]] = {}
    orders: dict[UUID, Order] = {}
    others: dict[type, dict[Any, Any]] = {}

    def of(self, kind: type[_State]) -> dict[Any, _State]:
        """The states of one kind, by their first field."""
        return self.others.setdefault(kind, {})

    def balances_of(self, ledger: Ledger) -> dict[str, Balance]:
        """The balances of one ledger, by their keys."""
        return self.balances.setdefault(ledger, {})

    def balance(self, ledger: Ledger, key: str) -> Balance:
        """One balance, empty if nothing has moved it yet."""
        return self.balances_of(ledger).get(key, EMPTY)


Decision = Sequence[Event] | Rejection

_Rule = TypeVar("_Rule", bound=Callable[..., Decision])
_Change = TypeVar("_Change", bound=Callable[..., None])

COMMANDS: dict[type[Command], Callable[[Shop, Any, Context], Decision]] = {}
EVENTS: dict[str, type[Event]] = {}
_EVOLVERS: dict[type[Event], Callable[[Shop, Any], None]] = {}


def decides(command_type: type[Command]) -> Callable[[_Rule], _Rule]:
    """Registers the rule for a command type: `(shop, command, context) -> Decision`."""

    def register(rule: _Rule) -> _Rule:
        assert command_type not in COMMANDS, f"two rules decide {command_type.__name__}"
        COMMANDS[command_type] = rule
        return rule

    return register


def evolves(event_type: type[Event]) -> Callable[[_Change], _Change]:
    """Registers what an event type changes, `(shop, event) -> None`, and its name in the log."""

    def register(change: _Change) -> _Change:
        assert event_type.type not in EVENTS, f"two event types are called {event_type.type}"
        if event_type.series is not None:
            assert event_type.__struct_fields__[-1] == "number", f"a number is the last field of {event_type.type}"
        EVENTS[event_type.type] = event_type
        _EVOLVERS[event_type] = change
        return change

    return register


def decide(shop: Shop, command: Command, context: Context) -> Decision:
    """The command's events, or the rejection. Changes nothing."""
    return COMMANDS[type(command)](shop, command, context)


def evolve(shop: Shop, event: Event) -> Shop:
    """The shop after `event`; it is the same object, changed."""
    _move_balances(shop, event)
    return evolve_entities(shop, event)


def evolve_entities(shop: Shop, event: Event) -> Shop:
    """The shop after `event`, without its moves, for callers that do not use balances."""
    _EVOLVERS[type(event)](shop, event)
    return shop


def _move_balances(shop: Shop, event: Event) -> None:
    for ledger, key, posted, pending in event.moves():
        balances = shop.balances_of(ledger)
        balance = balances.get(key, EMPTY)
        balances[key] = Balance(balance.posted + posted, balance.pending + pending)
