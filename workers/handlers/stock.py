"""What stock movements are decided on, and what they write."""

from datetime import datetime

from domain.stock import AdjustStock, ReceiveStock, StockAdjusted, StockReceived
from workers.handlers import needs, writes
from workers.rows import Needs, Rows


@needs(ReceiveStock)
@needs(AdjustStock)
def _move(command: ReceiveStock | AdjustStock, into: Needs) -> None:
    into.skus.add(command.sku)


@writes(StockReceived)
@writes(StockAdjusted)
def _moved(event: StockReceived | StockAdjusted, into: Rows, at: datetime) -> None:
    into.stock_skus.add(event.sku)
