"""`tidegate demo`: a small catalogue to play with, its stock, and accounts to sign in with, all created by ordinary
commands."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

import asyncpg
import click

from domain.model import Actor
from domain.roles import STAFF
from ops.articles import Article, listing
from ops.cli.demo_accounts import post_demo_accounts
from runtime.database import asyncpg_dsn
from runtime.mailboxes.sender import Sender
from runtime.settings import Settings, settings

DEMO_PRINCIPAL: Final = "demo"
DEMO_SKU: Final = "LANTERN-WHITE"

_DEMO: Final = Actor.in_role(DEMO_PRINCIPAL, STAFF)
_PIECES: Final = 1_000
_PATIENCE_SECONDS: Final = 10.0
DEMO_ARTICLES: Final = (
    Article(DEMO_SKU, "White metal lantern", 339, "GBP"),
    Article("LANTERN-GREEN", "Green metal lantern", 339, "GBP"),
    Article("TEALIGHT-12", "Tea lights, box of 12", 255, "GBP"),
    Article("MUG-TIDE", "Mug with the tide table of 1910", 795, "GBP"),
    Article("BOTTLE-KNIT", "Hot water bottle, knitted", 1450, "GBP"),
    Article("BUNTING-5M", "Bunting, five metres", 495, "GBP"),
    Article("CLOCK-DINER", "Diner wall clock", 850, "GBP"),
    Article("BAG-JUMBO", "Jumbo bag, red and white", 208, "GBP"),
    Article("CAKESTAND-3", "Cake stand, three tiers", 1275, "GBP"),
    Article("DOORSTOP-BOAT", "Doorstop, a small boat", 1095, "GBP"),
)


class Loaded(NamedTuple):
    """How much of the demo was posted."""

    products: int
    accounts: int


@click.command(short_help="Load the demo catalogue if the database has none.")
@click.option("--force", is_flag=True, help="Load it even if there is a catalogue.")
def demo(force: bool) -> None:
    """Posts the demo catalogue and its stock to the mailboxes if the database has no products; and in development an
    admin, a staff member and a customer if they do not exist. Workers then apply it.
    """
    loaded = asyncio.run(load_demo(settings(), force=force))
    if loaded.accounts:
        click.echo(f"{loaded.accounts} demo accounts posted.")
    if loaded.products:
        click.echo(f"{loaded.products} demo products posted.")
    else:
        click.echo("The catalogue is not empty; nothing was loaded.")


async def load_demo(config: Settings, *, force: bool = False) -> Loaded:
    """Posts the accounts, and the articles with their stock. Idempotency keys make repeated loading harmless."""
    connection = await asyncpg.connect(asyncpg_dsn(config.database_url))
    posted_accounts = 0
    try:
        async with Sender(config) as sender:
            if config.mode == "development":
                posted_accounts = await post_demo_accounts(
                    connection, sender, _DEMO, patience_seconds=_PATIENCE_SECONDS
                )
            if not force and await connection.fetchval("SELECT EXISTS (SELECT FROM products)"):
                return Loaded(0, posted_accounts)
            for article in DEMO_ARTICLES:
                key = f"demo:{article.sku}"
                await sender.send(listing(article, _PIECES), _DEMO, key=key, patience_seconds=_PATIENCE_SECONDS)
    finally:
        await connection.close()
    return Loaded(len(DEMO_ARTICLES), posted_accounts)
