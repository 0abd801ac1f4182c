"""`make bench-peers`: whole checkouts with Tidegate and with Vendure, in turn, in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
import msgspec

from loadtests.bench import plan as plans
from loadtests.bench.checkouts import Checkouts
from loadtests.bench.plan import Plan
from loadtests.bench.rounds import run
from loadtests.bench.stage import BenchError
from loadtests.peers.processes import POOL_CONNECTIONS, Installed, installed
from loadtests.peers.targets import targets
from loadtests.peers.vendure import ARTICLES, SERVERS, Vendure

SECONDS: Final = 20.0
QUICK_SECONDS: Final = 8.0


@click.command()
@click.option("--quick", is_flag=True, help="One short round with fewer shoppers: a first look.")
@click.option("--seconds", type=click.FloatRange(min=1, max=600), help="How long each rate is measured.  [default: 20]")
@click.option("--shoppers", type=click.IntRange(1, 500), help="How many check out at the same time.  [default: 64]")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default="bench-peers.json",
    show_default=True,
    help="Where to write everything as JSON.",
)
def peers(quick: bool, seconds: float | None, shoppers: int | None, json_file: Path) -> None:
    """Measure whole checkouts beside Vendure's: look, fill a cart, state address, delivery and code, pay.

    Needs Node and npm. Vendure is installed from the npm registry into build/ the first time, and runs on this machine,
    on the same Postgres.
    """
    chosen = plans.QUICK if quick else plans.FULL
    plan = msgspec.structs.replace(
        chosen,
        seconds=seconds or (QUICK_SECONDS if quick else SECONDS),
        shoppers=shoppers or chosen.shoppers,
    )
    try:
        shop = installed()
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    run(
        plan,
        lambda stage: [Checkouts(stage, plan, ARTICLES), Vendure(stage, plan, shop)],
        targets,
        json_file,
        configuration(plan, shop),
    )


def configuration(plan: Plan, shop: Installed) -> dict[str, str]:
    """What both sides are given, and Vendure alone."""
    return {
        "load": f"{plan.shoppers} shoppers from one process on the same machine, each on one keep-alive connection; "
        f"two lines of {ARTICLES} articles",
        "vendure": f"{shop.version()}, NODE_ENV production, {' or '.join(map(str, SERVERS))} server processes and a "
        f"worker, {POOL_CONNECTIONS} connections to Postgres each; DefaultJobQueuePlugin, DefaultSearchPlugin, "
        "sessions cached in memory; no mail, assets, or stock in the index; dummy payments that settle at once; "
        f"warmed up for {plan.seconds:g} s",
    }


if __name__ == "__main__":
    peers(prog_name="make bench-peers")
