"""`tidegate up`: the whole of Tidegate on this machine, from nothing to ready, and back to nothing.

What it starts, it stops, in order: the Procfile's processes, then Valkey, then Postgres; when asked to, when one of
the processes ends, and when it fails half way. A server that ends is started again, for its data is kept and everybody
finds it again. What a killed `up` left running, the next one ends first.
"""

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from sqlalchemy import Select, exists, select

from runtime import migrations, processes
from runtime.children import Child, end_leftovers
from runtime.cli.banner import banner
from runtime.cli.output import Output
from runtime.cli.progress import step
from runtime.embedded.keeper import Keeper
from runtime.embedded.postgres import PostgresServer
from runtime.embedded.server import EmbeddedServer, ServerError, records_folder
from runtime.embedded.valkey import ValkeyServer
from runtime.engine import create_engine
from runtime.home import HomeTaken, announced, taken
from runtime.ports import is_free
from runtime.processes import ProcessError, Processes
from runtime.server_versions import require_redis
from runtime.settings import Settings, settings
from runtime.stopping import Stopped, StopRequest, stop_request
from runtime.tables import accounts, products, stock, variants

_LEFTOVER_TIMEOUT_SECONDS: Final = 20.0
_DEMO_STOP_TIMEOUT_SECONDS: Final = 2.0
_DEMO_STOCK_TIMEOUT_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.1


@click.command()
def up() -> None:
    """Start Tidegate on this machine, and stop it with Ctrl-C.

    Starts an embedded Postgres and an embedded Valkey (with DATABASE_URL and REDIS_URL set: uses those instead),
    brings the database up to date, runs the Procfile's processes, fills an empty database with the demo catalogue,
    and prints where everything is, tokens to paste, and a first order to place.

    PORT moves the gateway, TIDEGATE_HOME the data.
    """
    console = Console(highlight=False, markup=False)
    try:
        with stop_request() as stop:
            _run(settings(), console, stop)
    except Stopped:
        console.print("Stopped.")
    except (HomeTaken, ServerError, ProcessError) as error:
        raise click.ClickException(str(error)) from error


def _run(config: Settings, console: Console, stop: StopRequest) -> None:
    """Ends by an exception only: Stopped, or whatever failed. Leaving `running` stops what was started, last first."""
    begun = time.monotonic()
    home = config.home.resolve()
    given = _given_servers(config)
    with taken(home), ExitStack() as running:
        for name in end_leftovers(records_folder(home), _LEFTOVER_TIMEOUT_SECONDS):
            console.print(f"Ended {name}, left running by a `tidegate up` that was killed.")
        if not is_free(config.port, config.host):
            raise click.ClickException(f"port {config.port} is taken: set PORT to another, or stop what listens there")
        if config.metrics_port is not None and not is_free(config.metrics_port, config.metrics_host):
            raise click.ClickException(f"port {config.metrics_port} is taken: set TIDEGATE_METRICS_PORT to another")
        servers = [] if given else _embedded_servers(home, console, stop, running)
        keeper = Keeper(servers, console.print)

        def check() -> None:
            stop.check()
            keeper.look(stop.check)

        database_url, redis_url = given or tuple(server.url for server in servers)
        require_redis(redis_url)
        with step(console, "Database") as current:
            migrations.upgrade(database_url)
            current.detail = f"at migration {migrations.head()}"
        stop.check()
        environment = processes.environment(
            os.environ, database_url=database_url, redis_url=redis_url, host=config.host, port=config.port, home=home
        )
        running.enter_context(announced(home, processes.settings_in(environment)))
        output = Output(console)
        running.callback(output.finish)
        procfile = Processes(home, environment)
        running.callback(procfile.stop)
        with step(console, "Processes") as current:
            commands = processes.commands()
            for name, command in commands.items():
                output.show(procfile.start(name, command, subprocess.PIPE))
            procfile.wait_until_ready(config.host, config.port, check)
            current.detail = ", ".join(commands)
        if asyncio.run(_value(database_url, _lacks_demo(config))):
            with step(console, "Demo") as current:
                _load_demo(home, environment, output, check)
                _wait_for_stock(database_url, check)
                current.detail = "loaded"
        sku = asyncio.run(_value(database_url, _MOST_AVAILABLE))
        console.print(f"Ready in {time.monotonic() - begun:.1f} s.")
        click.echo(banner(config, database_url=database_url, redis_url=redis_url, sku=sku))
        while True:
            check()
            ended = procfile.ended()
            if ended is not None:
                raise ProcessError(f"{ended.name} ended by itself, with exit code {ended.returncode}")
            time.sleep(_POLL_SECONDS)


def _given_servers(config: Settings) -> tuple[str, str] | None:
    """The servers named by the environment, as (Postgres, Redis); None if they are ours to start."""
    given = config.model_fields_set & {"database_url", "redis_url"}
    if len(given) == 1:
        raise click.ClickException("set both DATABASE_URL and REDIS_URL to use servers of your own, or neither")
    return (config.database_url, config.redis_url) if given else None


def _embedded_servers(home: Path, console: Console, stop: StopRequest, running: ExitStack) -> list[EmbeddedServer]:
    """Starts Postgres and Valkey, and has `running` stop them."""
    servers: list[EmbeddedServer] = [PostgresServer(home), ValkeyServer(home)]
    for server in servers:
        with step(console, server.title) as current:
            server.start(stop.check)
            running.callback(server.stop)
            current.detail = f"on port {server.port}"
        stop.check()
    return servers


def _lacks_demo(config: Settings) -> Select[tuple[bool]]:
    """Whether there are no products, or in development nobody to sign in as."""
    lacks = ~exists(products.select())
    if config.mode == "development":
        lacks |= ~exists(accounts.select())
    return select(lacks)


def _load_demo(home: Path, environment: Mapping[str, str], output: Output, check: Callable[[], None]) -> None:
    child = Child(
        "demo",
        ["tidegate", "demo"],
        records=records_folder(home),
        output=subprocess.PIPE,
        environment=environment,
    )
    try:
        output.show(child)
        while child.returncode is None:
            check()
            time.sleep(_POLL_SECONDS)
    finally:
        child.stop(_DEMO_STOP_TIMEOUT_SECONDS)
    if child.returncode != 0:
        raise ProcessError(f"`tidegate demo` failed with exit code {child.returncode}")


def _wait_for_stock(database_url: str, check: Callable[[], None]) -> None:
    """The demo has posted its stock; workers, which may still be starting, apply it. Without any, `up` goes on."""
    deadline = time.monotonic() + _DEMO_STOCK_TIMEOUT_SECONDS
    while asyncio.run(_value(database_url, _MOST_AVAILABLE)) is None and time.monotonic() < deadline:
        check()
        time.sleep(_POLL_SECONDS)


_MOST_AVAILABLE: Final = (
    select(stock.c.sku)
    .join(variants, variants.c.sku == stock.c.sku)
    .where(stock.c.on_hand > stock.c.reserved, variants.c.on_sale)
    .order_by((stock.c.on_hand - stock.c.reserved).desc(), stock.c.sku)
    .limit(1)
)


async def _value(database_url: str, query: Select[tuple[Any]]) -> Any:
    engine = create_engine(database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            return await connection.scalar(query)
    finally:
        await engine.dispose()
