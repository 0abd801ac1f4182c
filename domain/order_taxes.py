"""Reports to a tax provider about the orders whose taxes it has computed: an order's taxes are committed when it is
confirmed, voided if it is cancelled and was never invoiced, and refunded according to its credit notes. The request is
in the log before the provider hears of it; an order's reports are made by one task after another.
"""

from typing import Any, ClassVar, Final, Literal
from uuid import UUID

from domain.checkouts import Checkout
from domain.ids import slot_of_id
from domain.invoices import CREDIT_NOTE, Invoice
from domain.model import Command, Context, Decision, Event, Rejection, Shop, decides, evolves
from domain.orders import CANCELLED
from domain.tasks import NewTask, schedules

TaxAct = Literal["commit", "void", "refund"]
COMMIT: Final[TaxAct] = "commit"
VOID: Final[TaxAct] = "void"
REFUND: Final[TaxAct] = "refund"
TAX_ACTS: Final = (COMMIT, VOID, REFUND)


class ReportTaxes(Command, frozen=True):
    """Requests a report about the order; for a refund, `invoice_id` is its credit note."""

    order_id: UUID
    act: TaxAct
    invoice_id: str | None = None

    def slot(self) -> int:
        return slot_of_id(self.order_id)


class OrderTaxesRequested(Event, frozen=True):
    """The provider is to commit or void the taxes of the order, or to refund what the credit note says of them."""

    type: ClassVar[str] = "order.taxes_requested"
    order_id: UUID
    customer_id: str
    checkout_id: UUID
    provider: str
    act: TaxAct
    invoice_id: str | None = None

    def subject(self) -> str:
        return str(self.order_id)


@decides(ReportTaxes)
def _report(shop: Shop, command: ReportTaxes, context: Context) -> Decision:
    order = shop.orders.get(command.order_id)
    if order is None:
        return Rejection("order_not_found", "There is no such order.", {"order_id": str(command.order_id)})
    checkout = None if order.checkout_id is None else shop.of(Checkout).get(order.checkout_id)
    provider = None if checkout is None or checkout.quote is None else checkout.quote.tax_provider
    invoices = [each for each in shop.of(Invoice).values() if each.order_id == order.order_id]
    is_due = {
        COMMIT: True,
        VOID: order.status == CANCELLED and not invoices,
        REFUND: any((each.id, each.kind) == (command.invoice_id, CREDIT_NOTE) for each in invoices),
    }
    if checkout is None or provider is None or not is_due[command.act]:
        about = {"order_id": str(order.order_id)}
        return Rejection("nothing_to_report", "There is nothing to report to a tax provider about this order.", about)
    about_order = order.order_id, order.customer_id, checkout.id
    return (OrderTaxesRequested(*about_order, provider, command.act, command.invoice_id),)


@schedules(OrderTaxesRequested)
def _is_told(event: OrderTaxesRequested) -> tuple[NewTask]:
    payload: dict[str, Any] = {
        "order_id": str(event.order_id),
        "provider": event.provider,
        "act": event.act,
        "invoice_id": event.invoice_id,
    }
    return (NewTask("report_taxes", f"taxes:{event.order_id}", payload),)


@evolves(OrderTaxesRequested)
def _requested(shop: Shop, event: OrderTaxesRequested) -> None:
    """The order itself stays as it is."""
