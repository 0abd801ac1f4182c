"""The balances of every ledger, folded from the moves in the log: never overdrawn at any moment, and equal to the
tables at the end. One part of the keys is in memory at a time (see `runtime/proof/parts.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from domain.ledgers import EMPTY, Balance, Ledger, Move
from runtime.ledgers import LEDGERS, LedgerTable
from runtime.proof.parts import Part
from runtime.proof.report import Report


class Balances:
    """The balances of one part of the keys, as the log is read."""

    def __init__(self, report: Report, part: Part) -> None:
        self._report = report
        self._part = part
        self._folded: dict[Ledger, dict[str, Balance]] = {table.ledger: {} for table in LEDGERS}

    def begin(self, ledger: Ledger, key: str, balance: Balance) -> None:
        """Starts with a balance that was folded earlier."""
        if key in self._part:
            self._folded[ledger][key] = balance

    def folded(self, ledger: Ledger) -> Mapping[str, Balance]:
        """The balances as they are now, by key."""
        return self._folded[ledger]

    def follow(self, seq: int, moves: Iterable[Move]) -> None:
        """Applies the moves of the log's next event."""
        part = self._part if self._part.of_many else None
        for ledger, key, posted, pending in moves:
            if part is not None and key not in part:
                continue
            folded = self._folded[ledger]
            before = folded.get(key, EMPTY)
            posted += before.posted
            pending += before.pending
            folded[key] = Balance(posted, pending)
            if not 0 <= pending <= posted:
                self._report.differ(ledger.name, key, "overdrawn", seq=seq, posted=posted, pending=pending)

    def compare(self, table: LedgerTable, key: str, posted: int, pending: int) -> None:
        """At the end of the log: compares a row of the table."""
        name, said = table.ledger.name, self._folded[table.ledger].pop(key, None)
        if said is None:
            self._report.differ(name, key, "has no event")
            return
        if (posted, pending) != (said.posted, said.pending):
            self._report.differ(
                name,
                key,
                "the table differs from the log",
                table={table.posted: posted, table.pending: pending},
                log={table.posted: said.posted, table.pending: said.pending},
            )
        if not 0 <= pending <= posted:
            self._report.differ(name, key, "overdrawn", posted=posted, pending=pending)

    def compare_the_rest(self, table: LedgerTable) -> None:
        """After all rows of the table: whatever was not among them is reported as missing."""
        for key in self._folded[table.ledger]:
            self._report.differ(table.ledger.name, key, "is in the log but not in the table")
