"""Checks the quotes that orders were placed at: they add up, by line and by order, and match what the order costs."""

from __future__ import annotations

from collections.abc import Iterator

from domain.checkouts import CheckoutCompleted
from domain.model import Event
from domain.orders import OrderPlaced
from domain.quote.quoted import Quote, QuotedDelivery, QuotedLine
from runtime.proof.report import Report


class Quotes:
    """Follows the log, in which the event with an order's quote comes right after the order's own."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._placed: OrderPlaced | None = None
        self._seq = 0

    def follow(self, seq: int, event: Event) -> None:
        """Follows the log's next readable event."""
        placed, before, self._placed, self._seq = self._placed, self._seq, None, seq
        # An unreadable event, which is skipped here and reported elsewhere, may have been the quote.
        if placed is not None and seq == before + 1 and not isinstance(event, CheckoutCompleted):
            self._report.differ("orders", str(placed.order_id), "was placed at a quote that was not told", seq=before)
        if isinstance(event, OrderPlaced) and event.checkout_id is not None:
            self._placed = event
        elif isinstance(event, CheckoutCompleted):
            for problem in _wrong(event, placed):
                self._report.differ("checkouts", str(event.checkout_id), problem, seq=seq, order=str(event.order_id))


def _wrong(completed: CheckoutCompleted, placed: OrderPlaced | None) -> Iterator[str]:
    quote = completed.quote
    if placed is not None and (placed.order_id, placed.total_minor) != (completed.order_id, quote.total_minor):
        yield "has a quote other than its order's total"
    if not _adds_up(quote):
        yield "has a quote that does not add up"


def _adds_up(quote: Quote) -> bool:
    delivery = quote.delivery
    parts: list[QuotedLine | QuotedDelivery] = [*quote.lines, *([] if delivery is None else [delivery])]
    return (
        quote.subtotal_minor == sum(line.quantity * line.unit_price_minor for line in quote.lines)
        and quote.delivery_minor == (0 if delivery is None else delivery.amount_minor)
        and quote.discount_minor == sum(part.discount_minor for part in parts)
        and quote.tax_minor == sum(part.tax_minor for part in parts) == sum(tax.amount_minor for tax in quote.taxes)
        and quote.added_tax_minor == (0 if quote.tax_included else quote.tax_minor)
        and quote.total_minor == sum(part.gross_minor for part in parts)
        and quote.total_minor
        == quote.subtotal_minor + quote.delivery_minor - quote.discount_minor + quote.added_tax_minor
        and quote.due_minor == quote.total_minor - sum(card.amount_minor for card in quote.cards)
        and quote.due_minor >= 0
    )
