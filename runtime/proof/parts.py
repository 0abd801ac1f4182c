"""The keys of the ledgers in parts, so that their state fits into memory however many there are. What follows from the
log for a SKU, or any other key, does not depend on other keys.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32


class Part:
    """One of `count` parts: `key in part`."""

    def __init__(self, number: int, count: int) -> None:
        self.number = number
        self.of_many = count > 1
        self._count = count

    def __contains__(self, key: str) -> bool:
        return not self.of_many or crc32(key.encode()) % self._count == self.number


ALL_KEYS: Final = Part(0, 1)
"""The only part, if they all fit."""
