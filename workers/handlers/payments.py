"""What commands about payments are decided on: the order, and all of its payments. They are written whole (see
`runtime/entities.py`)."""

from domain.payments.commands import (
    CapturePayment,
    CreatePayment,
    RefundPayment,
    ReportPayment,
    SettlePayment,
    VoidPayment,
)
from domain.payments.payment import Payment
from domain.payments.refunding import RefundOrder
from workers.handlers import reads
from workers.loading import ReadSet

_AboutPayments = (
    CreatePayment | CapturePayment | VoidPayment | RefundPayment | SettlePayment | ReportPayment | RefundOrder
)


@reads(CreatePayment)
@reads(CapturePayment)
@reads(VoidPayment)
@reads(RefundPayment)
@reads(SettlePayment)
@reads(ReportPayment)
@reads(RefundOrder)
def _about(command: _AboutPayments, into: ReadSet) -> None:
    into.order_ids.add(command.order_id)
    into.add(Payment, command.order_id, by="order_id")
