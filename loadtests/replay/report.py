"""The results of a replay, for people (tables) and for programs (JSON)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table

from loadtests.baskets import Invoices, Skipped
from loadtests.percentiles import nearest_rank
from loadtests.replay.client import Answer
from loadtests.replay.shop import command_id
from runtime.mailboxes.sender import Settled
from runtime.records import APPLIED, FAILED, REJECTED

PERCENTS: Final = (50, 95, 99)
SOLD_OUT: Final = "insufficient_stock"


class Latency(msgspec.Struct, frozen=True):
    """In milliseconds, by nearest rank."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Latency:
        ordered = sorted(seconds)
        return cls(*(round(nearest_rank(ordered, percent) * 1000, 3) for percent in PERCENTS))


class Findings(msgspec.Struct, frozen=True):
    """The results of a run. Orders sent = accepted + refused (by code); accepted = placed + rejected + failed (by code)
    + missing. `put_off` counts retried attempts by reason. `seconds` is from the first order to the last response.
    """

    run: str
    rows: int
    sold_rows: int
    skipped: dict[str, Skipped]
    products_added: int
    orders: int
    lines: int
    seconds: float
    accepted: int
    refused: dict[str, int]
    put_off: dict[str, int]
    placed: int
    rejected: dict[str, int]
    failed: dict[str, int]
    missing: int
    accept_ms: Latency
    commit_ms: Latency
    verify: dict[str, Any]

    @property
    def good(self) -> bool:
        """There were orders, each of which was accepted, and placed unless something was sold out; and the tables agree
        with the log."""
        lacking = self.refused or self.failed or self.missing or self.rejected.keys() - {SOLD_OUT}
        return bool(self.orders) and not lacking and bool(self.verify["clean"])


def findings(
    *,
    run: str,
    invoices: Invoices,
    products_added: int,
    lines: int,
    seconds: float,
    answers: Sequence[Answer],
    outcomes: Mapping[UUID, Settled],
    verify: dict[str, Any],
) -> Findings:
    """Combines what the steps of a run returned."""
    accepted = [answer for answer in answers if answer.accepted]
    known = [outcomes[command] for answer in accepted if (command := command_id(answer)) in outcomes]
    return Findings(
        run=run,
        rows=invoices.rows,
        sold_rows=invoices.sold_rows,
        skipped={reason: skipped for reason, skipped in invoices.skipped.items() if skipped.count},
        products_added=products_added,
        orders=len(answers),
        lines=lines,
        seconds=round(seconds, 3),
        accepted=len(accepted),
        refused=_count(answer.code for answer in answers if not answer.accepted),
        put_off=_count(why for answer in answers for why in answer.put_off),
        placed=sum(outcome.status == APPLIED for outcome in known),
        rejected=_count(outcome.code for outcome in known if outcome.status == REJECTED),
        failed=_count(outcome.code for outcome in known if outcome.status == FAILED),
        missing=len(accepted) - len(known),
        accept_ms=Latency.of(answer.seconds for answer in accepted),
        commit_ms=Latency.of(outcome.seconds for outcome in known),
        verify=verify,
    )


def _count(words: Iterable[str | None]) -> dict[str, int]:
    return dict(Counter(str(word) for word in words).most_common())


def tables(found: Findings) -> RenderableType:
    """The results as tables for a console."""
    return Group(_rows_table(found), _orders_table(found), _latency_table(found), _verify_table(found))


def _rows_table(found: Findings) -> Table:
    table = _table(f"{found.rows:,} rows of the file", "", "rows", "for example")
    table.add_row("sold: in an order", f"{found.sold_rows:,}", "")
    for reason, skipped in found.skipped.items():
        table.add_row(f"skipped: {reason}", f"{skipped.count:,}", skipped.examples[0])
    return table


def _orders_table(found: Findings) -> Table:
    rate = f"{found.orders / found.seconds:,.0f} orders/s" if found.seconds else ""
    table = _table(f"{found.orders:,} orders of {found.lines:,} lines in {found.seconds:,.1f} s", "", "orders", "")
    table.add_row("accepted", f"{found.accepted:,}", rate)
    table.add_row("placed", f"{found.placed:,}", "")
    for what, counts in (("rejected", found.rejected), ("failed", found.failed), ("not accepted", found.refused)):
        for code, count in counts.items():
            table.add_row(f"{what}: {code}", f"{count:,}", "")
    table.add_row("accepted, without an outcome", f"{found.missing:,}", "")
    for why, count in found.put_off.items():
        table.add_row(f"retried: {why}", f"{count:,}", "attempts")
    return table


def _latency_table(found: Findings) -> Table:
    table = _table("Latency, ms", "", *(f"p{percent}" for percent in PERCENTS))
    for name, latency in (("order sent to 202", found.accept_ms), ("accepted to applied", found.commit_ms)):
        table.add_row(name, *(f"{value:,.1f}" for value in (latency.p50, latency.p95, latency.p99)))
    return table


def _verify_table(found: Findings) -> Table:
    clean = found.verify["clean"]
    table = _table(f"Verify: {'clean' if clean else 'differences found'}", "compared", "count", "")
    for name, count in found.verify["counts"].items():
        table.add_row(name.replace("_", " "), f"{count:,}", "")
    for difference in found.verify["differences"]:
        table.add_row(f"[red]{difference['check']}[/] {difference['subject']}", "", difference["problem"])
    return table


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(first, title=title, title_justify="left")
    for column in others:
        table.add_column(column, justify="left" if column in ("", "for example") else "right")
    return table
