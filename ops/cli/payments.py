"""`tidegate payments`: what providers and the shop say of the same money, compared to the penny."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import click
from rich.console import Console
from sqlalchemy import select

from domain.money import written
from domain.payments.amounts import amounts
from runtime.engine import create_engine
from runtime.payments.provider import Report
from runtime.payments.registry import Providers, UnknownProvider
from runtime.settings import Settings, settings
from runtime.tables import payments as table

_COMPARED: Final = ("authorized", "charged", "refunded", "cancelled")
_DIFFERENT_CODE: Final = 1


Ours = Mapping[UUID, Mapping[str, Any]]


def differences(theirs: Sequence[Report], ours: Ours) -> Iterator[str]:
    """What the shop does not say as the provider does of one payment, in a line each. The provider has one report of
    it, unless it was made there twice; then whatever was moved in each was moved."""
    payment_id = theirs[0].payment_id
    row = None if payment_id is None else ours.get(payment_id)
    name = str(payment_id or theirs[0].provider_reference)
    if len(theirs) > 1:
        yield f"{name}: {len(theirs)} payments at the provider, {', '.join(str(r.provider_reference) for r in theirs)}"
    for currency in sorted({report.currency for report in theirs}):
        told = [amounts(report.entries) for report in theirs if report.currency == currency]
        for what in _COMPARED:
            provider_minor: int = sum(getattr(each, what) for each in told)
            shop_minor: int = 0 if row is None or row["currency"] != currency else row[f"{what}_minor"]
            if provider_minor != shop_minor:
                there, here = (written(amount, currency) for amount in (provider_minor, shop_minor))
                yield f"{name}: {what} {there} at the provider, {here} here"


@click.group()
def payments() -> None:
    """What came of payments."""


@payments.command()
@click.argument("provider")
@click.option("--days", default=30.0, show_default=True, help="How far back to look, by when payments were created.")
def reconcile(provider: str, days: float) -> None:
    """Compare the ledger of PROVIDER with ours. The exit code is 1 if they differ."""
    found, compared = asyncio.run(compare(settings(), provider, timedelta(days=days)))
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for difference in found:
        console.print(f"✗ {difference}")
    console.print(f"{compared} payments compared, {len(found)} differences.")
    if found:
        raise SystemExit(_DIFFERENT_CODE)


async def compare(config: Settings, name: str, ago: timedelta) -> tuple[list[str], int]:
    """How the provider's ledger of the payments created since then differs from ours, and how many were compared."""
    since = datetime.now(UTC) - ago
    theirs: dict[UUID | str | None, list[Report]] = defaultdict(list)
    engine = create_engine(config.database_url, pool_size=1)
    try:
        async with Providers(config) as providers, engine.connect() as connection:
            async for report in providers[name].history(since):
                theirs[report.payment_id or report.provider_reference].append(report)
            query = select(table).where(table.c.provider == name)
            ours = {row["id"]: dict(row) for row in (await connection.execute(query)).mappings()}
    except UnknownProvider:
        raise click.ClickException(f"{name} takes no payments here: see TIDEGATE_PAYMENT_PROVIDERS") from None
    finally:
        await engine.dispose()
    for payment_id, row in ours.items():
        if payment_id not in theirs and row["created_at"] >= since:
            theirs[payment_id] = [Report(payment_id, None, row["currency"], ())]
    return [line for reports in theirs.values() for line in differences(reports, ours)], len(theirs)
