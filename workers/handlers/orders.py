"""What commands about orders are decided on, and where in the log orders were placed. Orders themselves are written
whole (see `runtime/orders.py`)."""

from domain.erasure import EraseOrderAddress, OrderAddressErased
from domain.invoices import Invoice
from domain.order_taxes import ReportTaxes
from domain.orders import CancelOrder, ConfirmOrder, ExpireOrder, FulfilOrder, OrderPlaced, PlaceOrder
from domain.payments.payment import Payment
from domain.stock import STOCK
from workers.handlers import reads, writes
from workers.loading import ReadSet
from workers.rows import Rows


@reads(ConfirmOrder)
def _confirm(command: ConfirmOrder, into: ReadSet) -> None:
    into.order_ids.add(command.order_id)
    into.settled_ids.add(command.order_id)


@reads(CancelOrder)
@reads(ExpireOrder)
def _end(command: CancelOrder | ExpireOrder, into: ReadSet) -> None:
    into.order_ids.add(command.order_id)
    into.settled_ids.add(command.order_id)
    into.add(Payment, command.order_id, by="order_id")


@reads(ReportTaxes)
def _report_taxes(command: ReportTaxes, into: ReadSet) -> None:
    into.order_ids.add(command.order_id)
    into.settled_ids.add(command.order_id)
    into.add(Invoice, command.order_id, by="order_id")


@reads(PlaceOrder)
def _place(command: PlaceOrder, into: ReadSet) -> None:
    skus = [wanted.sku for wanted in command.lines]
    into.skus.update(skus)
    into.balances_of(STOCK).update(skus)
    into.placed.append(command)


@reads(FulfilOrder)
@reads(EraseOrderAddress)
def _move(command: FulfilOrder | EraseOrderAddress, into: ReadSet) -> None:
    into.order_ids.add(command.order_id)


@writes(OrderPlaced)
def _placed(event: OrderPlaced, into: Rows) -> None:
    into.places_of_orders[event.order_id] = into.place


@writes(OrderAddressErased)
def _address_erased(event: OrderAddressErased, into: Rows) -> None:
    into.erasure.of_guest(event.customer_id)
