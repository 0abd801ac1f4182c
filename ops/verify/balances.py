"""The balances of every ledger, folded from the moves in the log: never overdrawn at any moment, and equal to the
tables at the end. One part of the keys is in memory at a time (see `ops/verify/parts.py`).
"""

from __future__ import annotations

from domain.ledgers import EMPTY, Balance, Ledger
from domain.model import Event
from ops.verify.parts import Part
from ops.verify.report import Report
from ops.verify.snapshot import Snapshot
from runtime.ledgers import LEDGERS, LedgerTable


class Balances:
    """The balances of one part of the keys, as the log is read."""

    def __init__(self, report: Report, part: Part) -> None:
        self._report = report
        self._part = part
        self._folded: dict[Ledger, dict[str, Balance]] = {table.ledger: {} for table in LEDGERS}

    def follow(self, seq: int, event: Event) -> None:
        """Takes the log's next event."""
        for ledger, key, posted, pending in event.moves():
            if self._part.of_many and key not in self._part:
                continue
            folded = self._folded[ledger]
            before = folded.get(key, EMPTY)
            balance = folded[key] = Balance(before.posted + posted, before.pending + pending)
            if not 0 <= balance.pending <= balance.posted:
                self._report.differ(
                    ledger.name, key, "overdrawn", seq=seq, posted=balance.posted, pending=balance.pending
                )

    async def compare(self, snapshot: Snapshot) -> None:
        """At the end of the log: compares the tables, and counts their rows."""
        for table in LEDGERS:
            rows = await self._compare(snapshot, table, self._folded[table.ledger])
            counted = f"{table.table.name}_rows"
            self._report.counts[counted] = self._report.counts.get(counted, 0) + rows

    async def _compare(self, snapshot: Snapshot, table: LedgerTable, folded: dict[str, Balance]) -> int:
        name, rows = table.ledger.name, 0
        query = f"SELECT {table.key}, {table.posted}, {table.pending} FROM {table.table.name} ORDER BY 1"  # noqa: S608
        async for block in snapshot.blocks(query):
            for key, posted, pending in block:
                if key not in self._part:
                    continue
                rows += 1
                said = folded.pop(key, None)
                if said is None:
                    self._report.differ(name, key, "has no event")
                    continue
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
        for key in folded:
            self._report.differ(name, key, "is in the log but not in the table")
        return rows
