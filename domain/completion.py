"""Completing a checkout: one command places its order and begins the payment. It is all or nothing, decided on the
checkout's quote of that moment, so nothing ever has to be undone. It is idempotent: completing a completed checkout
again returns its order.
"""

from collections.abc import Sequence
from uuid import UUID

from domain.checkout_rules import checkout_of, not_open
from domain.checkouts import COMPLETED, OPEN, Checkout, CheckoutCompleted, CheckoutUnchanged, GiftCards, Lines
from domain.customers import account_of
from domain.ids import slot_of_id
from domain.model import Command, Context, Decision, Event, Rejection, Shop, decides
from domain.orders import OrderConfirmed, OrderPlaced, order_from
from domain.payments.by_card import charges, holds
from domain.payments.commands import CreatePayment
from domain.payments.deciding import begun
from domain.placing import facts_of, incomplete, order_at, short_of
from domain.quote.quoted import Quote
from domain.quote.terms.limits import customer_among
from domain.quoting import folded_codes, quote_of, wanted_by
from domain.stock import insufficient_stock


class CompleteCheckout(Command, frozen=True):
    """Places the order, if the total and the amount due after cards are what the buyer expects (without
    `expected_due_minor`, the whole total is due). A batch loads what its commands name: `lines` are those that the
    buyer saw, `gifts` the SKUs that promotions may add, `codes` the folded codes, `allowances` the keys that the quote
    takes from, and `gift_cards` and `store_credit` the cards that may pay. `identities` are those under which the
    buyer's limits are counted (see `domain/quote/terms/limits.py`). `payment` is for the amount due; without one, it is
    paid later."""

    checkout_id: UUID
    order_id: UUID
    lines: Lines
    expected_total_minor: int
    gifts: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    allowances: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()
    payment: CreatePayment | None = None
    expected_due_minor: int | None = None
    gift_cards: GiftCards = ()
    store_credit: UUID | None = None

    def slot(self) -> int:
        return slot_of_id(self.checkout_id)

    @property
    def due_minor(self) -> int:
        """The amount due that the buyer expects."""
        return self.expected_total_minor if self.expected_due_minor is None else self.expected_due_minor

    @property
    def begins(self) -> CreatePayment | None:
        """The payment that begins if the checkout is completed."""
        return self.payment if self.due_minor else None

    def __post_init__(self) -> None:
        if slot_of_id(self.order_id) != slot_of_id(self.checkout_id):
            raise ValueError("an order is in the slot of its checkout")
        if self.payment is not None and self.payment.order_id != self.order_id:
            raise ValueError("a checkout's payment is for its order")


@decides(CompleteCheckout)
def _complete(shop: Shop, command: CompleteCheckout, context: Context) -> Decision:
    checkout = checkout_of(shop, command.checkout_id, context)
    if isinstance(checkout, Rejection):
        return checkout
    if checkout.status == COMPLETED:
        return (CheckoutUnchanged(checkout.id, checkout.customer_id, checkout.order_id),)
    if checkout.status != OPEN:
        return not_open(checkout)
    quote = _agreed(shop, checkout, command, context)
    if isinstance(quote, Rejection):
        return quote
    placed = order_at(quote, command.order_id, checkout.customer_id, checkout.email, checkout.id)
    if short := short_of(shop, placed.lines, context):
        return insufficient_stock(short)
    paid = _paid(placed, quote, command.begins, context)
    if isinstance(paid, Rejection):
        return paid
    completed = CheckoutCompleted(checkout.id, checkout.customer_id, command.order_id, *facts_of(shop, quote))
    return (placed, completed, *paid)


def _agreed(shop: Shop, checkout: Checkout, command: CompleteCheckout, context: Context) -> Quote | Rejection:
    """The quote, if it is complete and matches what the buyer has seen."""
    seen = command.lines, command.codes, command.gift_cards
    if (wanted_by(checkout), folded_codes(checkout), checkout.gift_cards) != seen:
        return Rejection("checkout_changed", "The checkout has changed in the meantime: read it again.")
    if account_of(checkout.customer_id) != account_of(customer_among(command.identities) or ""):
        return Rejection("checkout_changed", "The checkout now has a different owner: read it again.")
    quote = quote_of(shop, checkout, context.at, command.identities)
    if quote.requirements:
        return incomplete(quote, "The checkout is incomplete.")
    if (quote.total_minor, quote.due_minor) != (command.expected_total_minor, command.due_minor):
        return Rejection(
            "checkout_changed",
            "The total or the amount due is not the expected one.",
            {"current_total_minor": quote.total_minor, "current_due_minor": quote.due_minor},
        )
    if not {take.key for take in quote.takes} <= set(command.allowances):
        return Rejection("checkout_changed", "The limits have changed in the meantime: read the checkout again.")
    return quote


def _paid(
    placed: OrderPlaced, quote: Quote, payment: CreatePayment | None, context: Context
) -> Sequence[Event] | Rejection:
    """The events that pay for the order: cards hold what they pay. If nothing is left to pay, the order is confirmed
    and the cards are charged; otherwise a payment of the rest begins, if the command has one."""
    held = holds(placed.order_id, placed.customer_id, quote.currency, quote.cards, context.at)
    by_cards = [each.payment() for each in held]
    if quote.due_minor == 0:
        confirmed = OrderConfirmed(placed.order_id, placed.customer_id, placed.lines)
        return (*held, confirmed, *charges(by_cards, context.at))
    if payment is None:
        return held
    created = begun(payment, order_from(placed), by_cards, context)
    return created if isinstance(created, Rejection) else (*held, created)
