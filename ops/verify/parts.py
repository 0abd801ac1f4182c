"""The keys of the ledgers in parts, so that their state fits into memory however many there are. What follows from the
log for a SKU, or any other key, does not depend on other keys. So the log is folded once for each part; a shop with up
to KEYS_AT_ONCE keys is one part.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

from ops.verify.snapshot import Snapshot
from runtime.ledgers import LEDGERS

# Keys in memory at a time: about 700 bytes for a SKU, with its stock, its price and its product.
KEYS_AT_ONCE: Final = 100_000

# The log may have SKUs that the table has lost.
_COUNT: Final = f"""
    SELECT greatest(
        {" + ".join(f"(SELECT count(*) FROM {table.table.name})" for table in LEDGERS)},
        (SELECT count(*) FROM events WHERE type = 'product.variant_added')
    )
"""  # noqa: S608 - names of ours


class Part:
    """One of `count` parts: `key in part`."""

    def __init__(self, number: int, count: int) -> None:
        self.number = number
        self.of_many = count > 1
        self._count = count

    def __contains__(self, key: str) -> bool:
        return not self.of_many or crc32(key.encode()) % self._count == self.number


async def parts_of(snapshot: Snapshot) -> list[Part]:
    """All the parts, of roughly one size."""
    keys: int = (await snapshot.row(_COUNT))[0]
    count = max(1, -(-keys // KEYS_AT_ONCE))
    return [Part(number, count) for number in range(count)]
