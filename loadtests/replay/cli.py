"""`tidegate replay`: places the real orders over HTTP on a running system, and ends with `verify`."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg
import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from domain.limits import STOCK_MAX_ON_HAND
from loadtests import baskets
from loadtests.baskets import Basket, Invoices
from loadtests.replay import report
from loadtests.replay.client import Client
from loadtests.replay.report import Findings
from loadtests.replay.shop import NotPrepared, Replay, command_id
from ops.console.progress import bars
from ops.processes import reachable
from ops.verify import verify
from runtime.database import asyncpg_dsn
from runtime.mailboxes.sender import Sender, wait_for_outcomes
from runtime.settings import Settings, settings
from runtime.signing_keys import key_ring

DEFAULT_CONCURRENCY: Final = 32
PLENTY: Final = "plenty"
MAX_SPEED: Final = "max"


class _Speed(click.ParamType[float]):
    name = f"N|{MAX_SPEED}"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if value == MAX_SPEED:
            return math.inf
        try:
            speed = float(str(value))
        except ValueError:
            speed = math.nan
        if not speed > 0:
            self.fail(f"{value!r} is neither a number above 0 nor `{MAX_SPEED}`", param, ctx)
        return speed


class _Stock(click.ParamType[int | None]):
    name = f"{PLENTY}|N"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value in (PLENTY, None):
            return None
        text = str(value)
        if not text.isdigit() or int(text) > STOCK_MAX_ON_HAND:
            self.fail(f"{value!r} is neither 0..{STOCK_MAX_ON_HAND} pieces nor `{PLENTY}`", param, ctx)
        return int(text)


class Options(NamedTuple):
    """The command line's options. `stock` is pieces of each SKU, or None for as many as the orders need."""

    speed: float
    concurrency: int
    stock: int | None
    url: str


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=baskets.SHIPPED_FILE)
@click.option(
    "--speed",
    type=_Speed(),
    metavar=_Speed.name,
    default=MAX_SPEED,
    show_default=True,
    help="N times the pace of the orders' dates.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1_000),
    default=DEFAULT_CONCURRENCY,
    show_default=True,
    help="Requests in flight at once.",
)
@click.option(
    "--stock",
    type=_Stock(),
    metavar=_Stock.name,
    default=PLENTY,
    show_default=True,
    help="Pieces of each SKU to receive first: as many as the orders need, or N.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Place only the first N orders.")
@click.option("--url", help="The gateway.  [default: the one in the settings]")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def replay(
    file: Path, speed: float, concurrency: int, stock: int | None, limit: int | None, url: str | None, as_json: bool
) -> None:
    """Place the real orders of FILE against a running system, and verify it afterwards.

    FILE has the columns of UCI's Online Retail, as CSV, gzipped or not; by default it is the file shipped with
    Tidegate. Missing products are posted directly to the mailboxes, so this needs the system's settings.

    Exits with code 1 if an order was not accepted, an accepted one has no outcome or was rejected although nothing was
    sold out, or `verify` finds a difference.
    """
    config = settings()
    options = Options(speed, concurrency, stock, url or f"http://{reachable(config.host)}:{config.port}")
    console = Console(stderr=True)
    try:
        invoices = baskets.read(file)
        found = asyncio.run(_replay(config, invoices, invoices.baskets[:limit], options, console))
    except (baskets.InvoiceFileError, NotPrepared) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        Console().print(report.tables(found))
    sys.exit(0 if found.good else 1)


async def _replay(
    config: Settings, invoices: Invoices, orders: Sequence[Basket], options: Options, console: Console
) -> Findings:
    columns = (TextColumn("{task.description:>16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with (
        asyncpg.create_pool(asyncpg_dsn(config.database_url), min_size=0, max_size=1) as pool,
        Client(options.url, key_ring(config), connections=options.concurrency) as client,
        Sender(config) as sender,
    ):
        if not await client.is_ready():
            raise click.ClickException(f"no Tidegate is ready at {options.url}: start one with `make up`")
        run = Replay(client, sender, pool, concurrency=options.concurrency)
        with bars(*columns) as progress:
            wanted = baskets.demand(orders)
            added = await run.load_products(product for product in invoices.products if product.sku in wanted)
            pieces = wanted if options.stock is None else dict.fromkeys(wanted if options.stock else (), options.stock)
            bar = progress.add_task("receiving stock", total=len(pieces))
            await run.receive(pieces, lambda: progress.advance(bar))
            bar = progress.add_task("placing orders", total=len(orders))
            begun = time.perf_counter()
            answers = await run.place(orders, options.speed, lambda: progress.advance(bar))
            seconds = time.perf_counter() - begun
            commands = [command_id(answer) for answer in answers if answer.accepted]
            bar = progress.add_task("outcomes", total=len(commands))
            outcomes = await wait_for_outcomes(pool, commands, lambda done: progress.update(bar, completed=done))
            bar = progress.add_task("verify", total=1)
            checked = await verify(
                config.database_url, config.redis_url, mailbox_count=config.mailbox_count, from_zero=True
            )
            progress.advance(bar)
    return report.findings(
        run=run.run,
        invoices=invoices,
        products_added=added,
        lines=sum(len(order.lines) for order in orders),
        seconds=seconds,
        answers=answers,
        outcomes=outcomes,
        verify=checked.document(),
    )
