"""Requests reports to tax providers about the orders whose taxes they have computed. Checking first who computed them
saves commands, but the order's mailbox decides. A shop that has never had a provider does not run this reaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar
from uuid import UUID

from domain.invoices import InvoiceCredited
from domain.order_taxes import COMMIT, REFUND, VOID, ReportTaxes
from domain.orders import OrderCancelled, OrderConfirmed
from runtime.records import EventRecord
from workers.reactions.commanding import DECIDED_MAX_SECONDS, have_decided
from workers.reactions.core import Reaction, Tools

_ASKED_A_PROVIDER = """
    SELECT o.id FROM orders o JOIN checkouts c ON c.id = o.checkout_id
    WHERE o.id = ANY($1::uuid[]) AND c.quote->>'tax_provider' IS NOT NULL
"""

# The reaction's row exists once a shop has had a provider.
_HAS_BEGUN = "SELECT EXISTS (SELECT FROM reactions WHERE name = $1)"

_Keyed = tuple[str, ReportTaxes]


class TaxReports(Reaction):
    """Requests the reports."""

    name = "tax_reports"
    interests = frozenset({OrderConfirmed.type, OrderCancelled.type, InvoiceCredited.type})
    begins_at_end = True
    handle_max_seconds: ClassVar[float] = DECIDED_MAX_SECONDS
    handle_max_events: ClassVar[int] = 200

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools.config)
        self._tools = tools

    async def handle(self, record: EventRecord) -> None:
        await self.handle_many([record])

    async def handle_many(self, records: Sequence[EventRecord]) -> None:
        due = [(f"taxes:{report.order_id}:{record.seq}", report) for record in records if (report := _report(record))]
        rows = await self._tools.pool.fetch(_ASKED_A_PROVIDER, [report.order_id for _, report in due])
        asked = {UUID(int=row["id"].int) for row in rows}
        for turn in _turns([each for each in due if each[1].order_id in asked]):
            await have_decided(self._tools, turn)


class TaxReporting:
    """The source of that reaction. A shop that no longer uses its provider still reports to it what becomes of earlier
    orders."""

    def __init__(self, tools: Tools) -> None:
        self._pool = tools.pool
        self._reports = TaxReports(tools)
        self._has_begun = tools.config.tax_provider is not None

    async def reactions(self) -> Sequence[Reaction]:
        if not self._has_begun:
            self._has_begun = await self._pool.fetchval(_HAS_BEGUN, self._reports.name)
        return (self._reports,) if self._has_begun else ()


def _report(record: EventRecord) -> ReportTaxes | None:
    event = record.event()
    if isinstance(event, OrderConfirmed):
        return ReportTaxes(event.order_id, COMMIT)
    if isinstance(event, InvoiceCredited):
        return ReportTaxes(event.order_id, REFUND, event.invoice_id)
    assert isinstance(event, OrderCancelled)
    return ReportTaxes(event.order_id, VOID) if event.confirmed else None


def _turns(due: Sequence[_Keyed]) -> Iterator[list[_Keyed]]:
    """Groups the reports into turns that can be requested concurrently: the first of each order, then the second, and
    so on."""
    turns: list[list[_Keyed]] = []
    counts: dict[UUID, int] = {}
    for key, report in due:
        turn = counts.get(report.order_id, 0)
        counts[report.order_id] = turn + 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append((key, report))
    yield from turns
