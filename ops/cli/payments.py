"""`tidegate payments`: what providers and the shop say of the same money, compared to the penny."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
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


class Difference(NamedTuple):
    """A payment of which the provider and the shop say different things."""

    payment: str
    currency: str
    what: str
    provider_minor: int
    shop_minor: int

    def __str__(self) -> str:
        theirs, ours = (written(amount, self.currency) for amount in (self.provider_minor, self.shop_minor))
        return f"{self.payment}: {self.what} {theirs} at the provider, {ours} here"


Ours = Mapping[UUID, Mapping[str, Any]]


def differences(theirs: Report, ours: Ours) -> Iterator[Difference]:
    """What the shop does not say as the provider does."""
    told = amounts(theirs.entries)
    row = None if theirs.payment_id is None else ours.get(theirs.payment_id)
    name = str(theirs.payment_id or theirs.provider_reference)
    for what in _COMPARED:
        provider_minor: int = getattr(told, what)
        shop_minor: int = 0 if row is None or row["currency"] != theirs.currency else row[f"{what}_minor"]
        if provider_minor != shop_minor:
            yield Difference(name, theirs.currency, what, provider_minor, shop_minor)


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


async def compare(config: Settings, name: str, ago: timedelta) -> tuple[list[Difference], int]:
    """How the provider's ledger of the payments created since then differs from ours, and how many were compared."""
    since = datetime.now(UTC) - ago
    engine = create_engine(config.database_url, pool_size=1)
    try:
        async with Providers(config) as providers, engine.connect() as connection:
            theirs = [report async for report in providers[name].history(since)]
            query = select(table).where(table.c.provider == name)
            ours = {row["id"]: dict(row) for row in (await connection.execute(query)).mappings()}
    except UnknownProvider:
        raise click.ClickException(f"{name} takes no payments here: see TIDEGATE_PAYMENT_PROVIDERS") from None
    finally:
        await engine.dispose()
    found = [difference for report in theirs for difference in differences(report, ours)]
    known, compared = {report.payment_id for report in theirs}, len(theirs)
    for payment_id, row in ours.items():
        if payment_id in known or row["created_at"] < since:
            continue
        compared += 1
        nothing = Report(payment_id, None, row["currency"], ())
        found += differences(nothing, ours)
    return found, compared
