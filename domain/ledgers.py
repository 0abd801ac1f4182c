"""Ledgers: everything scarce is a balance that events move. Stock is one ledger; the money on gift cards is another.

A balance has two numbers, what there is (posted) and how much of it is promised (pending), and always 0 <= pending <=
posted. An event declares its moves; the balances that rules see, what a batch writes and under which condition, and
what `tidegate verify` folds are all derived from them.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec


class Ledger:
    """A measure of something scarce, per key. Its name must not change: metrics and reports use it."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Ledger({self.name!r})"


class Balance(msgspec.Struct, frozen=True, gc=False):
    """What there is of one key (`posted`), and how much of it is promised (`pending`)."""

    posted: int = 0
    pending: int = 0

    @property
    def available(self) -> int:
        return self.posted - self.pending


EMPTY: Final = Balance()
"""The balance of a key that nothing has moved yet."""

Move: TypeAlias = tuple[Ledger, str, int, int]
"""What an event adds to one balance: the ledger, the key, the change of `posted` and the change of `pending`. A move of
0 and 0 opens the balance."""

Short: TypeAlias = dict[tuple[Ledger, str], int]
"""What a rejected command would have needed: by ledger and key, the amount that was not available."""
