"""`flash_sale`, with a watcher that overlooks one event."""

from loadtests.frame.records import Record
from loadtests.scenarios.flash_sale import Buyer, Watcher

__all__ = ["Buyer", "Watcher"]

_see = Record.see
_overlooked: list[int] = []


def _see_all_but_one(self: Record, seq: int) -> None:
    if self.count == 10 and not _overlooked:
        _overlooked.append(seq)
    else:
        _see(self, seq)


Record.see = _see_all_but_one  # type: ignore[method-assign]
