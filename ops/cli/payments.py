"""`tidegate payments`: compares what providers and the shop say about the same money, to the penny."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

import click
import msgspec
from rich.console import Console
from sqlalchemy import ARRAY, Text, Uuid, any_, bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.money import written
from domain.payments.comparison import Stands, acts_compared, sums_compared
from domain.payments.entries import Entry
from runtime.engine import create_engine
from runtime.payments.provider import Report
from runtime.payments.registry import Providers, UnknownProvider
from runtime.settings import Settings, settings
from runtime.tables import payments as table

_DIFFERENT_CODE: Final = 1


class Kept(NamedTuple):
    """What the shop says of one payment."""

    payment_id: UUID
    provider_reference: str | None
    currency: str
    entries: tuple[Entry, ...]


def differences(theirs: Sequence[Report], payment: Kept | None) -> Iterator[str]:
    """What the shop does not say as the provider does of one payment, in a line each: its sums, then the acts that they
    are made of. The provider has one report of it, unless it was made there twice."""
    name = str(payment.payment_id if payment is not None else theirs[0].payment_id or theirs[0].provider_reference)
    names = [str(report.provider_reference) for report in theirs]
    if len(theirs) > 1:
        yield f"{name}: {len(theirs)} payments at the provider, {', '.join(names)}"
    elif theirs and payment is not None and payment.provider_reference not in (None, *names):
        yield f"{name}: it is {names[0]} at the provider, {payment.provider_reference} here"
    currencies = {report.currency for report in theirs} | (set() if payment is None else {payment.currency})
    for currency in sorted(currencies):
        ours = payment.entries if payment is not None and payment.currency == currency else ()
        told = [report.entries for report in theirs if report.currency == currency]
        for what, ours_minor, theirs_minor in sums_compared(ours, told):
            there, here = written(theirs_minor, currency), written(ours_minor, currency)
            yield f"{name}: {what} {there} at the provider, {here} here"
        for what, reference, stands, stands_there in acts_compared(ours, told):
            there, here = _said(stands_there, currency), _said(stands, currency)
            yield f"{name}: {what} {reference or 'without a reference'}: {there} at the provider, {here} here"


def _said(stands: Stands, currency: str) -> str:
    return f"{stands.ending} ({written(stands.amount_minor, currency)})" if stands.amount_minor else stands.ending


@click.group()
def payments() -> None:
    """What came of payments."""


@payments.command()
@click.argument("provider")
@click.option("--days", default=30.0, show_default=True, help="How far back to look, by when payments were created.")
@click.option(
    "--settling",
    default=5.0,
    show_default=True,
    metavar="MINUTES",
    help="Payments created in the last MINUTES are compared only if the provider tells of them: it may have listed its"
    " ledger before they were made.",
)
def reconcile(provider: str, days: float, settling: float) -> None:
    """Compare the ledger of PROVIDER with ours. The exit code is 1 if they differ."""
    found, compared = asyncio.run(
        compare(settings(), provider, timedelta(days=days), settling=timedelta(minutes=settling))
    )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for difference in found:
        console.print(f"✗ {difference}")
    console.print(f"{compared} payments compared, {len(found)} differences.")
    if found:
        raise SystemExit(_DIFFERENT_CODE)


async def compare(config: Settings, name: str, ago: timedelta, *, settling: timedelta) -> tuple[list[str], int]:
    """How the provider's ledger of the payments created since then differs from ours, and how many were compared. Those
    of the `settling` time before now are compared only if the provider tells of them."""
    now = datetime.now(UTC)
    engine = create_engine(config.database_url, pool_size=1)
    try:
        async with Providers(config) as providers, engine.connect() as connection:
            if providers[name].capabilities.staff_report:
                raise click.ClickException(f"{name} has no ledger of its own: staff report what was paid")
            told = [report async for report in providers[name].history(now - ago)]
            ours = await _ours(connection, name, now - ago, now - settling, told)
    except UnknownProvider:
        raise click.ClickException(f"{name} takes no payments here: see TIDEGATE_PAYMENT_PROVIDERS") from None
    finally:
        await engine.dispose()
    named = {payment.provider_reference: payment.payment_id for payment in ours.values()}
    theirs: dict[UUID | str | None, list[Report]] = {payment_id: [] for payment_id in ours}
    for report in told:
        known = report.payment_id or named.get(report.provider_reference)
        theirs.setdefault(known or report.provider_reference, []).append(report)
    found = [
        line
        for known, reports in theirs.items()
        for line in differences(reports, ours.get(known) if isinstance(known, UUID) else None)
    ]
    return found, len(theirs)


async def _ours(
    connection: AsyncConnection, provider: str, since: datetime, until: datetime, told: Iterable[Report]
) -> Mapping[UUID, Kept]:
    """Our payments by the provider, by their ids: those that were created in this time, and whatever it told of."""
    wanted = select(table.c.id, table.c.provider_reference, table.c.currency, table.c.entries).where(
        table.c.provider == provider,
        or_(
            table.c.created_at.between(since, until),
            table.c.id == any_(bindparam("ids", type_=ARRAY(Uuid))),
            table.c.provider_reference == any_(bindparam("names", type_=ARRAY(Text))),
        ),
    )
    ids = [report.payment_id for report in told if report.payment_id is not None]
    names = [report.provider_reference for report in told if report.provider_reference is not None]
    return {
        payment_id: Kept(payment_id, reference, currency, msgspec.convert(entries, tuple[Entry, ...]))
        for payment_id, reference, currency, entries in await connection.execute(wanted, {"ids": ids, "names": names})
    }
