"""`flash_sale`, with one more piece in stock than the scenario knows of, so that one too many is sold."""

from typing import Any

from loadtests.frame.staff import Staff
from loadtests.scenarios.flash_sale import Buyer, FlashSale, Watcher

__all__ = ["Buyer", "Watcher"]

_prepare = FlashSale.prepare


def _one_more(self: FlashSale, staff: Staff, options: Any) -> dict[str, Any]:
    options.pieces += 1
    try:
        return _prepare(self, staff, options)
    finally:
        options.pieces -= 1


FlashSale.prepare = _one_more  # type: ignore[method-assign]
