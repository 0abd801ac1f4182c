"""Checks the log itself: seqs have no gaps, every event is readable, and balances and prices are right. Memory grows
only with the number of ledger keys in one part (see `ops/verify/parts.py`).
"""

from __future__ import annotations

from typing import Final, Self

import asyncpg

from domain.ledgers import Balance
from ops.verify.parts import parts_of
from ops.verify.snapshot import Snapshot
from ops.verify.streams import Groups, started
from runtime.ledgers import LEDGERS
from runtime.proof.balances import Balances
from runtime.proof.entries import Entries
from runtime.proof.numbers import COUNTER, Numbers
from runtime.proof.parts import Part
from runtime.proof.prices import Prices
from runtime.proof.quotes import Quotes
from runtime.proof.report import Progress, Report
from runtime.proof.stored import LOG_ROW, PRICED, Digest, Position, folded_entity

_PROGRESS_EVENTS: Final = 20_000
_EVENTS: Final = f"SELECT {LOG_ROW} FROM events WHERE seq > $1 ORDER BY seq"  # noqa: S608 - ours
_BALANCES: Final = "SELECT ledger, key, posted, pending FROM folded_balances"
_DIGESTS: Final = "SELECT seq, digest FROM log_digests WHERE seq > $1 ORDER BY seq"


async def check_log(snapshot: Snapshot, base: Position, report: Report, progress: Progress) -> None:
    """Folds all events after the base in order; compares the counter, every balance, the prices of every order, and the
    log's digests."""
    last_seq, last_at, ordered_after, *counted = await snapshot.row(COUNTER)
    parts = await parts_of(snapshot)
    for part in parts:
        # An error in the event itself is reported once.
        of_events = Report() if part.number else report
        balances, prices, quotes = Balances(report, part), Prices(report, part), Quotes(of_events)
        numbers = Numbers(of_events, base.numbers)
        await _begin(balances, prices, snapshot, base)
        entry = Entries(of_events, ordered_after, base.seq, base.at)
        digests = await Digests.begin(snapshot, base, of_events)
        async for block in snapshot.blocks(_EVENTS, base.seq):
            for row in block:
                seq = row[0]
                if digests.following:
                    await digests.follow(seq, row)
                event = entry.read(row)
                if event is None:
                    continue
                balances.follow(seq, event.moves())
                prices.follow(seq, event)
                quotes.follow(seq, event)
                numbers.follow(seq, event)
                if seq % _PROGRESS_EVENTS == 0:
                    progress("log", part.number * last_seq + seq, len(parts) * last_seq)
        entry.compare(last_seq, last_at)
        numbers.compare(counted)
        await _compare(balances, part, snapshot, report)
    report.counts["events"] = last_seq
    progress("log", len(parts) * last_seq, len(parts) * last_seq)


async def _begin(balances: Balances, prices: Prices, snapshot: Snapshot, base: Position) -> None:
    """Starts with the stored fold up to the base."""
    if not base.seq:
        return
    ledgers = {table.ledger.name: table.ledger for table in LEDGERS}
    async for block in snapshot.blocks(_BALANCES):
        for name, key, posted, pending in block:
            balances.begin(ledgers[name], key, Balance(posted, pending))
    async for block in snapshot.blocks(PRICED):
        for row in block:
            prices.begin(folded_entity(row)[1].state)


class Digests:
    """Compares the log with the digests that the stored fold has recorded."""

    def __init__(self, known: Groups, base: Position, report: Report) -> None:
        self._known = known
        self._report = report
        self._digest = Digest(base.digest)
        self._after = base.seq

    @classmethod
    async def begin(cls, snapshot: Snapshot, base: Position, report: Report) -> Self:
        """The digests from the base on."""
        (known,) = await started(snapshot.blocks(_DIGESTS, base.seq))
        return cls(known, base, report)

    @property
    def following(self) -> bool:
        """Whether there are more."""
        return self._known.key is not None

    async def follow(self, seq: int, row: asyncpg.Record) -> None:
        """Adds the log's next event."""
        self._digest.follow(row)
        while self.following and self._known.key <= seq:
            ((until, digest),) = await self._known.take(self._known.key)
            if digest != self._digest.value():
                self._report.differ("log", f"seq {self._after + 1} to {until}", "is not what it was when it was folded")
            self._digest, self._after = Digest(digest), until


async def _compare(balances: Balances, part: Part, snapshot: Snapshot, report: Report) -> None:
    """Compares the tables, and counts their rows."""
    for table in LEDGERS:
        name, rows = table.table.name, 0
        query = f"SELECT {table.key}, {table.posted}, {table.pending} FROM {name} ORDER BY 1"  # noqa: S608
        async for block in snapshot.blocks(query):
            for key, posted, pending in block:
                if key in part:
                    balances.compare(table, key, posted, pending)
                    rows += 1
        balances.compare_the_rest(table)
        counted = f"{name}_rows"
        report.counts[counted] = report.counts.get(counted, 0) + rows
