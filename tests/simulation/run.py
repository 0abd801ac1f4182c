"""Runs the simulation at length: `python -m tests.simulation.run --seeds 200 --start 1000`.

Every seed gets a database of its own on one Postgres, and an empty Redis. A seed that fails is printed with the command
that runs it again, and with everything it ran into.
"""

import asyncio
import logging
import sys
import time
import traceback
from collections import Counter

import click

from tests import servers
from tests.servers import Databases
from tests.simulation.world import STEPS, World


def _run(seed: int, steps: int, databases: Databases, redis_url: str) -> Counter[str]:
    """One seed; returns what happened in it. Raises what it found."""
    servers.empty(redis_url)
    with databases.migrated() as database_url:
        world = World(seed, database_url, redis_url)
        asyncio.run(world.run(steps))
    return world.happened


@click.command()
@click.option("--seeds", default=100, show_default=True, help="How many seeds to run.")
@click.option("--start", default=1, show_default=True, help="The first seed; the others follow.")
@click.option("--steps", default=STEPS, show_default=True, help="Steps of each run before everything recovers.")
@click.option("--keep-going", is_flag=True, help="Run the other seeds, too, when one has failed.")
def main(seeds: int, start: int, steps: int, keep_going: bool) -> None:
    """Break everything that may break, in an order that a seed decides, and see that nothing is lost or done twice."""
    logging.disable(logging.CRITICAL)  # what breaks here is meant to
    happened: Counter[str] = Counter()
    failed = []
    began = time.monotonic()
    with servers.databases() as databases, servers.shared_valkey() as redis:
        for seed in range(start, start + seeds):
            try:
                happened.update(_run(seed, steps, databases, redis.url))
            except Exception:
                failed.append(seed)
                click.echo(
                    f"seed {seed} failed: python -m tests.simulation.run --seeds 1 --start {seed} --steps {steps}"
                )
                click.echo(traceback.format_exc())
                if not keep_going:
                    break
    for what, times in sorted(happened.items()):
        click.echo(f"{times:>9,}  {what}")
    click.echo(f"{seeds} seeds from {start} in {time.monotonic() - began:.0f} s; failed: {failed or 'none'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
