"""What stock movements are decided on."""

from domain.stock import STOCK, AdjustStock, ReceiveStock, SetStock
from workers.handlers import reads
from workers.loading import ReadSet


@reads(ReceiveStock)
@reads(AdjustStock)
def _move(command: ReceiveStock | AdjustStock, into: ReadSet) -> None:
    into.skus.add(command.sku)
    into.add_balance(STOCK, command.sku)


@reads(SetStock)
def _set(command: SetStock, into: ReadSet) -> None:
    into.skus.add(command.sku)
    into.add_balance(STOCK, command.sku, exact=True)
