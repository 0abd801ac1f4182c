"""Runs the simulation at length: `python -m tests.simulation.run --seeds 200 --start 1000`.

Every seed gets its own database on one Postgres, and an empty Redis. A failed seed is printed with the command that
repeats it: exactly the same happens again, up to the same failure. With `--tell`, all of it is told.
"""

import asyncio
import hashlib
import logging
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from importlib import import_module

import asyncpg
import click

from runtime import postgres_types
from runtime.database import asyncpg_dsn
from tests import servers
from tests.chaos.inside import bugs
from tests.servers import Databases
from tests.simulation.world import STEPS, World


class _Failed(Exception):
    """A world in which something went wrong; its text stands for all that happened in it."""


def _run(
    seed: int, steps: int, databases: Databases, redis_url: str, tell: Callable[[str], None] | None, bug: str | None
) -> World:
    """Runs one seed, with what a bug does to the database. Raises _Failed because of what it found."""
    servers.empty(redis_url)
    postgres_types._told.clear()  # what one seed's connections have learned would spare the next one's some queries
    with databases.migrated() as database_url:
        if statement := bugs.IN_DATABASE.get(bug or ""):
            asyncio.run(_execute(database_url, statement))
        world = World(seed, database_url, redis_url, tell)
        try:
            world.run(steps)
        except Exception as error:
            raise _Failed(world.digest) from error
    return world


async def _execute(database_url: str, statement: str) -> None:
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    await connection.execute(statement)
    await connection.close()


@click.command()
@click.option("--seeds", default=100, show_default=True, help="How many seeds to run.")
@click.option("--start", default=1, show_default=True, help="The first seed; the others follow.")
@click.option("--steps", default=STEPS, show_default=True, help="Steps of each run before everything recovers.")
@click.option("--keep-going", is_flag=True, help="Run the remaining seeds even after one has failed.")
@click.option("--bug", type=click.Choice(list(bugs.PLACES)), help="Plant this bug, to see that it is found.")
@click.option("--tell", is_flag=True, help="Print everything that happens.")
def main(seeds: int, start: int, steps: int, keep_going: bool, bug: str | None, tell: bool) -> None:
    """Break everything that may break, in an order decided by a seed, and check that nothing is lost or done twice."""
    if bug is not None:
        module, spoil = bugs.PLACES[bug]
        spoil(import_module(module))
    logging.disable(logging.CRITICAL)  # what breaks here is meant to break
    happened: Counter[str] = Counter()
    digest = hashlib.blake2b(digest_size=8)
    failed = []
    began = time.monotonic()
    with servers.databases() as databases, servers.shared_valkey() as redis:
        for seed in range(start, start + seeds):
            try:
                world = _run(seed, steps, databases, redis.url, click.echo if tell else None, bug)
                happened.update(world.happened)
                digest.update(world.digest.encode())
            except _Failed as failure:
                failed.append(seed)
                planted = f" --bug {bug}" if bug else ""
                click.echo(
                    f"seed {seed} failed, as {failure}: "
                    f"python -m tests.simulation.run --seeds 1 --start {seed} --steps {steps}{planted}"
                )
                click.echo("".join(traceback.format_exception(failure.__cause__)))
                if not keep_going:
                    break
    for what, times in sorted(happened.items()):
        click.echo(f"{times:>9,}  {what}")
    took = time.monotonic() - began
    click.echo(f"{seeds} seeds from {start}, as {digest.hexdigest()}, in {took:.0f} s; failed: {failed or 'none'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    # The order of a set of strings depends on it.
    if os.environ.get("PYTHONHASHSEED") != "0":
        arguments = [sys.executable, "-m", "tests.simulation.run", *sys.argv[1:]]
        os.execve(sys.executable, arguments, {**os.environ, "PYTHONHASHSEED": "0"})
    main()
