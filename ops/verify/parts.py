"""The SKUs in parts, so that what is remembered of each fits into memory however many there are.

What follows from the log for a SKU needs no other SKU. So the log is folded once for each part; a catalogue of no more
than SKUS_AT_ONCE is one part.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

from ops.verify.snapshot import Snapshot

# SKUs that are remembered at a time: about 700 bytes each, for its stock, its price and its product.
SKUS_AT_ONCE: Final = 100_000

# A log may know SKUs that the table has lost.
_COUNT: Final = """
    SELECT greatest((SELECT count(*) FROM stock), (SELECT count(*) FROM events WHERE type = 'product.variant_added'))
"""


class Part:
    """One of `count` parts: `sku in part`."""

    def __init__(self, number: int, count: int) -> None:
        self.number = number
        self.of_many = count > 1
        self._count = count

    def __contains__(self, sku: str) -> bool:
        return not self.of_many or crc32(sku.encode()) % self._count == self.number


async def parts_of(snapshot: Snapshot) -> list[Part]:
    """All the parts, of roughly one size."""
    skus: int = (await snapshot.row(_COUNT))[0]
    count = max(1, -(-skus // SKUS_AT_ONCE))
    return [Part(number, count) for number in range(count)]
