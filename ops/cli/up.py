"""`tidegate up`: starts all of Tidegate on this machine, and stops it again. It stops everything that it started, in
order (the Procfile's processes, then Valkey, then Postgres), when asked to, when something cannot be kept running, and
when starting fails half-way. A server or process that exits by itself is restarted: a server keeps its data, and
clients reconnect. Whatever a killed `up` left running is ended first by the next one.
"""

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from sqlalchemy import Select, exists, func, select

from ops import processes
from ops.children import Child, end_leftovers
from ops.cli.banner import banner
from ops.cli.demo import DEMO_PRINCIPAL
from ops.console.output import Output
from ops.console.progress import step
from ops.embedded.postgres import PostgresServer
from ops.embedded.server import EmbeddedServer, ServerError, records_folder
from ops.embedded.valkey import ValkeyServer
from ops.home import HomeTaken, announced, taken, tell_restarted
from ops.keeper import Keeper, KeepsEnding
from ops.kept import KeptProcess
from ops.ports import free_port, is_free
from ops.processes import ProcessError, Processes
from ops.rolling import RestartFailed, restart_all
from ops.stopping import Stopped, StopRequest, stop_request
from runtime import migrations
from runtime.database import create_batch_pool
from runtime.engine import create_engine
from runtime.mailboxes.inbox import Inbox
from runtime.mailboxes.rejoin import Rejoined, rejoin
from runtime.records import FAILED, REJECTED
from runtime.redis_client import connect
from runtime.server_versions import require_redis
from runtime.settings import Settings, settings
from runtime.tables import accounts, commands, products, stock, variants

_LEFTOVER_TIMEOUT_SECONDS: Final = 20.0
_DEMO_STOP_TIMEOUT_SECONDS: Final = 2.0
_DEMO_TIMEOUT_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.1


@click.command()
def up() -> None:
    """Start Tidegate on this machine, and stop it with Ctrl-C.

    Starts an embedded Postgres and an embedded Valkey (with DATABASE_URL and REDIS_URL set: uses those instead),
    brings the database up to date, runs the Procfile's processes, fills an empty database with the demo catalogue,
    and prints where everything is, tokens to paste, and a first order to place.

    PORT moves the gateway, TIDEGATE_HOME the data. Pressing Ctrl-C once more ends everything without waiting for what
    is going on.
    """
    console = Console(highlight=False, markup=False)
    try:
        with stop_request() as stop:
            _run(settings(), console, stop)
    except Stopped:
        console.print("Stopped.")
    except (HomeTaken, ServerError, ProcessError, KeepsEnding) as error:
        raise click.ClickException(str(error)) from error


def _run(config: Settings, console: Console, stop: StopRequest) -> None:
    """Ends only with an exception: Stopped, or the failure. Leaving `running` stops what was started, last first."""
    begun = time.monotonic()
    home = config.home.resolve()
    given = _given_servers(config)
    with taken(home), ExitStack() as running:
        for name in end_leftovers(records_folder(home), _LEFTOVER_TIMEOUT_SECONDS):
            console.print(f"Ended {name}, which a killed `tidegate up` had left running.")
        if not is_free(config.port, config.host):
            raise click.ClickException(f"port {config.port} is taken: set PORT to another, or stop what listens there")
        sandbox = processes.SANDBOX in config.providers
        sandbox_port = config.sandbox_port if "sandbox_port" in config.model_fields_set else free_port()
        if sandbox and not is_free(sandbox_port):
            raise click.ClickException(f"port {sandbox_port} is taken: set TIDEGATE_SANDBOX_PORT to another")
        if config.metrics_port is not None and not is_free(config.metrics_port, config.metrics_host):
            raise click.ClickException(f"port {config.metrics_port} is taken: set TIDEGATE_METRICS_PORT to another")
        servers = [] if given else _embedded_servers(home, console, stop, running)
        keeper = Keeper(servers, console.print)

        def check() -> None:
            stop.check()
            keeper.look()

        database_url, redis_url = given or tuple(server.url for server in servers)
        require_redis(redis_url)
        with step(console, "Database") as current:
            migrations.upgrade(database_url)
            current.detail = f"at migration {migrations.head()}"
        stop.check()
        _bring_into_step(config, console, database_url, redis_url)
        environment = processes.environment(
            {
                **os.environ,
                "TIDEGATE_PORT_SHARED": "true",  # a restart starts the new gateway while the old one still listens
                "TIDEGATE_SANDBOX_PORT": str(sandbox_port),
            },
            database_url=database_url,
            redis_url=redis_url,
            host=config.host,
            port=config.port,
            home=home,
        )
        running.enter_context(announced(home, processes.settings_in(environment)))
        output = Output(console)
        running.callback(output.finish)
        procfile = Processes(home, environment)
        running.callback(procfile.stop, lambda: stop.insisted)
        with step(console, "Processes") as current:
            programs = processes.commands(sandbox=sandbox)
            for name, command in programs.items():
                output.show(procfile.start(name, command, subprocess.PIPE))
            procfile.wait_until_ready(config.host, config.port, check)
            current.detail = ", ".join(programs)
        if asyncio.run(_value(database_url, _lacks_demo(config))):
            stocked = asyncio.run(_value(database_url, _HAS_PRODUCTS))  # the operator's own catalogue may have no stock
            with step(console, "Demo") as current:
                _load_demo(home, environment, output, check)
                missing = _wait_for_demo(database_url, _lacks_demo(config), check, stocked=stocked)
                current.detail = f"incomplete: {missing}" if missing else "loaded"
        listening = {processes.GATEWAY: config.port, processes.SANDBOX: sandbox_port}
        for name in programs:
            is_up = partial(procfile.is_listening, listening[name]) if name in listening else lambda: True
            keeper.add(KeptProcess(procfile, name, subprocess.PIPE, output.show, is_up))
        sku = asyncio.run(_value(database_url, _MOST_AVAILABLE))
        console.print(f"Ready in {time.monotonic() - begun:.1f} s.")
        sandbox_url = f"http://127.0.0.1:{sandbox_port}/" if sandbox else None
        click.echo(banner(config, database_url=database_url, redis_url=redis_url, sandbox_url=sandbox_url, sku=sku))
        while True:
            check()
            if stop.restart:
                stop.restart = False
                _restart(home, console, lambda: restart_all(procfile, config, redis_url, output.show, check))
            time.sleep(_POLL_SECONDS)


def _restart(home: Path, console: Console, restart_all: Callable[[], None]) -> None:
    """Restarts the processes, and tells `tidegate restart` how it went."""
    begun = time.monotonic()
    console.print("Restarting the processes, one after another.")
    try:
        restart_all()
    except RestartFailed as error:
        console.print(f"Not restarted: {error}.")
        tell_restarted(home, str(error))
    else:
        console.print(f"Restarted in {time.monotonic() - begun:.1f} s.")
        tell_restarted(home, "")


def _bring_into_step(config: Settings, console: Console, database_url: str, redis_url: str) -> None:
    """If only one of Postgres and Redis was wiped or restored, they disagree on what has been applied: reports that,
    and brings them into step before anything is posted."""

    async def look() -> Rejoined:
        client = connect(redis_url)
        pool = await create_batch_pool(database_url, size=2, batch_max_seconds=config.batch_max_seconds)
        try:
            inbox = Inbox(client, awake_milliseconds=config.awake_milliseconds, read_max_bytes=config.batch_max_bytes)
            return await rejoin(pool, client, inbox, range(config.mailbox_count))
        finally:
            pool.terminate()
            await client.aclose()

    rejoined = asyncio.run(look())
    if rejoined.mended:
        console.print(
            "Redis and Postgres disagreed on what is applied: one of them was replaced or restored. "
            f"{len(rejoined.mended)} mailboxes were brought back into step; the {rejoined.waiting} commands waiting in"
            f" them will be applied.",
            soft_wrap=True,
        )


def _given_servers(config: Settings) -> tuple[str, str] | None:
    """The servers named by the environment, as (Postgres, Redis); None to start our own."""
    given = config.model_fields_set & {"database_url", "redis_url"}
    if len(given) == 1:
        raise click.ClickException("set both DATABASE_URL and REDIS_URL to use servers of your own, or neither")
    return (config.database_url, config.redis_url) if given else None


def _embedded_servers(home: Path, console: Console, stop: StopRequest, running: ExitStack) -> list[EmbeddedServer]:
    """Starts Postgres and Valkey, which `running` stops at the end."""
    servers: list[EmbeddedServer] = [PostgresServer(home), ValkeyServer(home)]
    for server in servers:
        with step(console, server.title) as current:
            server.start(stop.check)
            running.callback(server.stop)
            current.detail = f"on port {server.port}"
        stop.check()
    return servers


def _lacks_demo(config: Settings) -> Select[Any]:
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


def _wait_for_demo(database_url: str, lacks: Select[Any], check: Callable[[], None], *, stocked: bool) -> str:
    """Waits for workers, which may still be starting, to apply the posted demo. Returns what is still missing after the
    longest wait, and why; None if it is complete."""
    deadline = time.monotonic() + _DEMO_TIMEOUT_SECONDS
    while asyncio.run(_value(database_url, lacks)) or not (stocked or asyncio.run(_value(database_url, _IN_STOCK))):
        if time.monotonic() > deadline:
            refused = asyncio.run(_value(database_url, _REFUSED))
            return f"{refused} of its commands were refused" if refused else "its commands have not been applied yet"
        check()
        time.sleep(_POLL_SECONDS)
    return ""


_HAS_PRODUCTS: Final = select(exists(products.select()))
_IN_STOCK: Final = select(exists().where(stock.c.on_hand > 0))
_REFUSED: Final = select(func.count()).where(
    commands.c.principal == DEMO_PRINCIPAL, commands.c.status.in_((REJECTED, FAILED))
)

_MOST_AVAILABLE: Final = (
    select(stock.c.sku)
    .join(variants, variants.c.sku == stock.c.sku)
    .where(stock.c.on_hand > stock.c.reserved, variants.c.on_sale)
    .order_by((stock.c.on_hand - stock.c.reserved).desc(), stock.c.sku)
    .limit(1)
)


async def _value(database_url: str, query: Select[Any]) -> Any:
    engine = create_engine(database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            return await connection.scalar(query)
    finally:
        await engine.dispose()
