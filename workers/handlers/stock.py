"""What stock movements are decided on, and what they write."""

from domain.stock import AdjustStock, ReceiveStock, SetStock, StockAdjusted, StockReceived
from workers.handlers import needs, writes
from workers.rows import Needs, Rows


@needs(ReceiveStock)
@needs(AdjustStock)
def _move(command: ReceiveStock | AdjustStock, into: Needs) -> None:
    into.skus.add(command.sku)


@needs(SetStock)
def _set(command: SetStock, into: Needs) -> None:
    into.skus.add(command.sku)
    into.counted.add(command.sku)


@writes(StockReceived)
def _received(event: StockReceived, into: Rows) -> None:
    into.move_stock(event.sku, event.quantity, 0)


@writes(StockAdjusted)
def _adjusted(event: StockAdjusted, into: Rows) -> None:
    into.move_stock(event.sku, event.change, 0)
