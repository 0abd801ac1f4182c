"""What commands about prices are decided on: the variant, its other prices, and whether the price list exists."""

from domain.catalogue import Variant
from domain.sku_prices import PutPrices, SkuPrices
from domain.terms import PRICE_LIST, TermsPart, part_name
from workers.handlers import reads
from workers.loading import ReadSet


@reads(PutPrices)
def _put(command: PutPrices, into: ReadSet) -> None:
    into.add(Variant, command.sku)
    into.add(SkuPrices, command.sku)
    if command.prices and command.price_list_id is not None:
        into.consult(TermsPart, part_name(PRICE_LIST, command.price_list_id))
