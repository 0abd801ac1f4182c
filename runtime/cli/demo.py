"""`tidegate demo`: a small catalogue to play with, and stock for it, put in as any client would put it in."""

from __future__ import annotations

import asyncio
from typing import Final

import asyncpg
import click

from domain.ids import mailbox_of_slot
from domain.model import Product, Who
from domain.stock import ReceiveStock
from runtime.activation import ActivationBroker, activate
from runtime.catalogue import load
from runtime.database import asyncpg_dsn
from runtime.envelope import encode, seal
from runtime.mailboxes.post import Poster
from runtime.redis_client import connect
from runtime.settings import Settings, settings

DEMO_PRINCIPAL: Final = "demo"
DEMO_SKU: Final = "LANTERN-WHITE"

_DEMO: Final = Who(DEMO_PRINCIPAL, staff=True)
_PIECES: Final = 1_000
_PRODUCTS: Final = (
    Product(DEMO_SKU, "White metal lantern", 339, "GBP"),
    Product("LANTERN-GREEN", "Green metal lantern", 339, "GBP"),
    Product("TEALIGHT-12", "Tea lights, box of 12", 255, "GBP"),
    Product("MUG-TIDE", "Mug with the tide table of 1910", 795, "GBP"),
    Product("BOTTLE-KNIT", "Hot water bottle, knitted", 1450, "GBP"),
    Product("BUNTING-5M", "Bunting, five metres", 495, "GBP"),
    Product("CLOCK-DINER", "Diner wall clock", 850, "GBP"),
    Product("BAG-JUMBO", "Jumbo bag, red and white", 208, "GBP"),
    Product("CAKESTAND-3", "Cake stand, three tiers", 1275, "GBP"),
    Product("DOORSTOP-BOAT", "Doorstop, a small boat", 1095, "GBP"),
)


@click.command(short_help="Load the demo catalogue, if the database has none.")
@click.option("--force", is_flag=True, help="Load it beside what is there.")
def demo(force: bool) -> None:
    """Loads the demo catalogue if the database has no products, and posts stock for it to the mailboxes.

    The stock is there as soon as workers run.
    """
    added = asyncio.run(load_demo(settings(), force=force))
    click.echo(f"{added} demo products loaded." if added else "The catalogue is not empty; nothing was loaded.")


async def load_demo(config: Settings, *, force: bool = False) -> int:
    """Loads the products and posts their stock; returns how many were new."""
    connection = await asyncpg.connect(asyncpg_dsn(config.database_url))
    try:
        if not force and await connection.fetchval("SELECT EXISTS (SELECT FROM products)"):
            return 0
        added = await load(connection, _PRODUCTS)
    finally:
        await connection.close()
    await _receive(config, _PRODUCTS)
    return added


async def _receive(config: Settings, products: tuple[Product, ...]) -> None:
    """Posts the stock. The idempotency keys make it the first time only, however often the demo is loaded."""
    client = connect(config.redis_url)
    broker = ActivationBroker(config.redis_url)

    async def wake(mailbox: int) -> None:
        await activate(broker, mailbox)

    poster = Poster(
        client,
        wake,
        mailbox_max_commands=config.mailbox_max_commands,
        queue_max_commands=config.post_queue_max_commands,
        awake_milliseconds=config.awake_milliseconds,
        idempotency_seconds=config.idempotency_seconds,
    )
    try:
        for product in products:
            command = ReceiveStock(product.sku, _PIECES, "demo")
            envelope = seal(command, _DEMO, idempotency_key=f"demo:{product.sku}", fingerprint=DEMO_PRINCIPAL.encode())
            await poster.post(mailbox_of_slot(command.slot(), config.mailbox_count), encode(envelope))
        await poster.close()
    finally:
        await broker.shutdown()
        await client.aclose()
