"""The rules of open checkouts, and of cancelled and expired ones; completion is in `domain/completion.py`."""

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import msgspec

from domain.checkouts import (
    CANCELLED,
    COMPLETED,
    EXPIRED,
    FIELDS,
    OPEN,
    CancelCheckout,
    ChangeCheckout,
    Checkout,
    CheckoutCancelled,
    CheckoutChanged,
    CheckoutCompleted,
    CheckoutEvent,
    CheckoutExpired,
    CheckoutLine,
    CheckoutOpened,
    CheckoutPlaced,
    CheckoutReturned,
    CheckoutTakenOver,
    CheckoutUnchanged,
    ExpireCheckout,
    OpenCheckout,
    SetsFields,
    TakeOverCheckout,
)
from domain.limits import CHECKOUT_LINE_MAX_QUANTITY, CHECKOUT_MAX_CODES, CHECKOUT_MAX_GIFT_CARDS, ORDER_MAX_LINES
from domain.model import Context, Decision, Rejection, Shop, Wanted, decides, evolves, private_fields
from domain.orders import is_guest
from domain.quoting import wanted_by

_BLANK: Final = dict.fromkeys(private_fields(Checkout))
"""The blank personal data of a cancelled or expired checkout."""


@decides(OpenCheckout)
def _open(shop: Shop, command: OpenCheckout, context: Context) -> Decision:
    if command.checkout_id in shop.of(Checkout):
        raise ValueError("a checkout is opened once: its id is taken")
    nothing = None, None, None, None
    empty = Checkout(command.checkout_id, context.actor.principal, OPEN, None, (), *nothing, (), None, None, None, 1)
    return (CheckoutOpened(*_as_set(empty, command)),)


@decides(ChangeCheckout)
def _change(shop: Shop, command: ChangeCheckout, context: Context) -> Decision:
    checkout = open_one(shop, command.checkout_id, context)
    if isinstance(checkout, Rejection):
        return checkout
    return (CheckoutChanged(*_as_set(checkout, command)),)


@decides(TakeOverCheckout)
def _take_over(shop: Shop, command: TakeOverCheckout, context: Context) -> Decision:
    customer_id, checkout = context.actor.principal, shop.of(Checkout).get(command.checkout_id)
    if checkout is not None and checkout.customer_id == customer_id:
        return (CheckoutUnchanged(checkout.id, customer_id, checkout.order_id),)
    if checkout is None or checkout.customer_id != command.guest_id or not is_guest(command.guest_id):
        return not_found(command.checkout_id)
    if checkout.status != OPEN:
        return not_open(checkout)
    lines = _added_up(command.lines or (), checkout)
    if len(lines) > ORDER_MAX_LINES:
        detail = f"Together they have more than {ORDER_MAX_LINES} lines: remove some first."
        return Rejection("too_many_lines", detail, {"limit": ORDER_MAX_LINES})
    codes = tuple(dict.fromkeys((*checkout.codes, *(command.codes or ()))))[:CHECKOUT_MAX_CODES]
    cards = tuple(dict.fromkeys((*checkout.gift_cards, *(command.gift_cards or ()))))[:CHECKOUT_MAX_GIFT_CARDS]
    come = {name: getattr(command, name) for name in FIELDS if getattr(checkout, name) is None}
    after = msgspec.structs.replace(
        checkout,
        **{**come, "lines": lines, "codes": codes},
        customer_id=customer_id,
        gift_cards=cards,
        store_credit=checkout.store_credit or bool(command.store_credit),
    )
    own = command.guest_id, command.own_id, command.own_version
    said: tuple[Any, ...] = (after.id, customer_id, *(getattr(after, name) for name in FIELDS), *own)
    return (CheckoutTakenOver(*said),)


def _added_up(own: Iterable[Wanted], checkout: Checkout) -> tuple[CheckoutLine, ...]:
    """The customer's own lines, and then the guest's, each SKU once."""
    quantities: dict[str, int] = {}
    for line in (*own, *wanted_by(checkout)):
        quantities[line.sku] = min(quantities.get(line.sku, 0) + line.quantity, CHECKOUT_LINE_MAX_QUANTITY)
    return tuple(CheckoutLine(sku, quantity) for sku, quantity in quantities.items())


@decides(CancelCheckout)
def _cancel(shop: Shop, command: CancelCheckout, context: Context) -> Decision:
    checkout = checkout_of(shop, command.checkout_id, context)
    if isinstance(checkout, Rejection):
        return checkout
    if checkout.status == CANCELLED:
        return (CheckoutUnchanged(checkout.id, checkout.customer_id),)
    if checkout.status != OPEN:
        return not_open(checkout)
    if command.version is not None and checkout.version != command.version:
        return _touched()
    return (CheckoutCancelled(checkout.id, checkout.customer_id),)


@decides(ExpireCheckout)
def _expire(shop: Shop, command: ExpireCheckout, context: Context) -> Decision:
    checkout = checkout_of(shop, command.checkout_id, context)
    if isinstance(checkout, Rejection):
        return checkout
    if checkout.status != OPEN:
        return not_open(checkout)
    if checkout.version != command.version:
        return _touched()
    return (CheckoutExpired(checkout.id, checkout.customer_id),)


def checkout_of(shop: Shop, checkout_id: UUID, context: Context) -> Checkout | Rejection:
    """The checkout, or a rejection if the actor has no such checkout."""
    checkout = shop.of(Checkout).get(checkout_id)
    if checkout is None or not (context.actor.is_staff or checkout.customer_id == context.actor.principal):
        # The same rejection for both: nobody must learn whether another's checkout exists.
        return not_found(checkout_id)
    return checkout


def not_found(checkout_id: UUID) -> Rejection:
    """The rejection for an unknown checkout."""
    return Rejection("checkout_not_found", "There is no such checkout.", {"checkout_id": str(checkout_id)})


def _touched() -> Rejection:
    return Rejection("checkout_changed", "The checkout has been touched in the meantime.")


def open_one(shop: Shop, checkout_id: UUID, context: Context) -> Checkout | Rejection:
    """The checkout, if it is open and the actor may do something to it."""
    checkout = checkout_of(shop, checkout_id, context)
    if isinstance(checkout, Checkout) and checkout.status != OPEN:
        return not_open(checkout)
    return checkout


def not_open(checkout: Checkout) -> Rejection:
    """The rejection of changes to a checkout that is not open."""
    particulars = {"checkout_id": str(checkout.id), "checkout_status": checkout.status}
    return Rejection("checkout_not_open", f"The checkout is {checkout.status}.", particulars)


def _as_set(checkout: Checkout, command: SetsFields) -> tuple[Any, ...]:
    """The fields of the event for the checkout as the command changes it."""
    set_to: dict[str, Any] = {name: value for name in FIELDS if (value := getattr(command, name)) is not None}
    if command.lines is not None:
        set_to["lines"] = tuple(CheckoutLine(wanted.sku, wanted.quantity) for wanted in command.lines)
    after = msgspec.structs.replace(checkout, **dict.fromkeys(command.cleared), **set_to)
    return (after.id, after.customer_id, *(getattr(after, name) for name in FIELDS))


@evolves(CheckoutOpened)
def _opened(shop: Shop, event: CheckoutOpened) -> None:
    shop.of(Checkout)[event.checkout_id] = Checkout(
        event.checkout_id,
        event.customer_id,
        OPEN,
        event.currency,
        event.lines,
        event.email,
        event.address,
        event.billing_address,
        event.method_id,
        event.codes,
        event.note,
        None,
        None,
        1,
        event.gift_cards,
        event.store_credit,
    )


@evolves(CheckoutChanged)
def _changed(shop: Shop, event: CheckoutChanged) -> None:
    _put(shop, event, **{name: getattr(event, name) for name in FIELDS})


@evolves(CheckoutTakenOver)
def _taken_over(shop: Shop, event: CheckoutTakenOver) -> None:
    _put(shop, event, customer_id=event.customer_id, **{name: getattr(event, name) for name in FIELDS})


@evolves(CheckoutCompleted)
def _completed(shop: Shop, event: CheckoutCompleted) -> None:
    _put(shop, event, status=COMPLETED, order_id=event.order_id, quote=event.quote)


@evolves(CheckoutPlaced)
def _placed(shop: Shop, event: CheckoutPlaced) -> None:
    quote = event.quote
    shop.of(Checkout)[event.checkout_id] = Checkout(
        event.checkout_id,
        event.customer_id,
        COMPLETED,
        quote.currency,
        tuple(CheckoutLine(line.sku, line.quantity) for line in quote.lines if not line.gift),
        email=None,
        address=None,
        billing_address=None,
        method_id=None,
        codes=(),
        note=None,
        order_id=event.order_id,
        quote=quote,
        version=1,
    )


@evolves(CheckoutCancelled)
def _cancelled(shop: Shop, event: CheckoutCancelled) -> None:
    _put(shop, event, status=CANCELLED, **_BLANK)


@evolves(CheckoutExpired)
def _expired(shop: Shop, event: CheckoutExpired) -> None:
    _put(shop, event, status=EXPIRED, **_BLANK)


@evolves(CheckoutUnchanged)
@evolves(CheckoutReturned)
def _unchanged(shop: Shop, event: CheckoutUnchanged | CheckoutReturned) -> None:
    """The checkout stays as it is."""


def _put(shop: Shop, event: CheckoutEvent, **changes: Any) -> None:
    """Changes the checkout, if it is loaded."""
    if checkout := shop.of(Checkout).get(event.checkout_id):
        learn(shop, event, version=checkout.version + 1, **changes)


def learn(shop: Shop, event: CheckoutEvent, **said: Any) -> None:
    """Puts what a provider was asked or has said beside the checkout, if it is loaded. Its version stays: nobody has
    changed what is to be bought."""
    checkouts = shop.of(Checkout)
    if checkout := checkouts.get(event.checkout_id):
        checkouts[checkout.id] = msgspec.structs.replace(checkout, **said)
