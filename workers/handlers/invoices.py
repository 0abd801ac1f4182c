"""What invoices are drawn up from: the order, its quote, its payments, and the invoices that it has."""

from domain.invoices import DrawUpInvoices, Invoice, InvoiceCredited, InvoiceIssued
from domain.payments.payment import Payment
from workers.handlers import reads, writes
from workers.loading import ReadSet
from workers.rows import Rows


@reads(DrawUpInvoices)
def _draw_up(command: DrawUpInvoices, into: ReadSet) -> None:
    into.order_ids.add(command.order_id)
    into.settled_ids.add(command.order_id)
    into.add(Payment, command.order_id, by="order_id")
    into.add(Invoice, command.order_id, by="order_id")


@writes(InvoiceIssued)
@writes(InvoiceCredited)
def _drawn_up(event: InvoiceIssued | InvoiceCredited, into: Rows) -> None:
    into.places_of_invoices[event.invoice_id] = into.place
