"""What stock movements are decided on, and what they write."""

from domain.stock import AdjustStock, ReceiveStock, SetStock, StockAdjusted, StockReceived
from workers.handlers import reads, writes
from workers.rows import ReadSet, Rows


@reads(ReceiveStock)
@reads(AdjustStock)
def _move(command: ReceiveStock | AdjustStock, into: ReadSet) -> None:
    into.skus.add(command.sku)


@reads(SetStock)
def _set(command: SetStock, into: ReadSet) -> None:
    into.skus.add(command.sku)
    into.counted.add(command.sku)


@writes(StockReceived)
def _received(event: StockReceived, into: Rows) -> None:
    into.move_stock(event.sku, event.quantity, 0)


@writes(StockAdjusted)
def _adjusted(event: StockAdjusted, into: Rows) -> None:
    into.move_stock(event.sku, event.change, 0)
