"""In how many parts the keys of the ledgers are folded: the log is read once for each. A shop with up to KEYS_AT_ONCE
keys is one part.
"""

from __future__ import annotations

from typing import Final

from ops.verify.snapshot import Snapshot
from runtime.ledgers import LEDGERS
from runtime.proof.parts import Part

# Keys in memory at a time: about 700 bytes for a SKU, with its stock, its price and its product.
KEYS_AT_ONCE: Final = 100_000

# The log may have SKUs that the table has lost.
_COUNT: Final = f"""
    SELECT greatest(
        {" + ".join(f"(SELECT count(*) FROM {table.table.name})" for table in LEDGERS)},
        (SELECT count(*) FROM events WHERE type = 'product.variant_added')
    )
"""  # noqa: S608 - names of ours


async def parts_of(snapshot: Snapshot) -> list[Part]:
    """All the parts, of roughly one size."""
    keys: int = (await snapshot.row(_COUNT))[0]
    count = max(1, -(-keys // KEYS_AT_ONCE))
    return [Part(number, count) for number in range(count)]
