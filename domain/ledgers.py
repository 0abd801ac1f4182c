"""Ledgers: everything scarce is a balance that events move. Stock is one; what is left on a gift card is another.

A balance has two numbers, and 0 <= pending <= posted always: what there is, and what of it is promised. An event says
its moves; from them alone follow the balances that rules see, what a batch writes and under which condition, and what
`tidegate verify` folds.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec


class Ledger:
    """A measure of something scarce, per key. Its name is stable, as metrics and reports use it."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Ledger({self.name!r})"


class Balance(msgspec.Struct, frozen=True, gc=False):
    """What there is under one key (`posted`), and what of it is promised (`pending`)."""

    posted: int = 0
    pending: int = 0

    @property
    def available(self) -> int:
        return self.posted - self.pending


EMPTY: Final = Balance()
"""The balance of a key that nothing has moved yet."""

Move: TypeAlias = tuple[Ledger, str, int, int]
"""What an event adds to one balance: the ledger, the key, what it adds to `posted`, and what to `pending`. A move by
0 and 0 opens the balance."""

Short: TypeAlias = dict[tuple[Ledger, str], int]
"""By ledger and key, how much would have had to be available."""
