"""Splits the keys of the ledgers into parts, so that the state of one part fits into memory however many keys there
are. This works because keys (a SKU, for example) are independent of each other.
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
"""The only part, if all keys fit into memory."""
