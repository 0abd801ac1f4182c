"""`tidegate up`: the whole of Tidegate on this machine, from nothing to ready, and back to nothing.

What it starts, it stops, in order: the Procfile's processes, then Valkey, then Postgres; when asked to, when one of
the processes ends, and when it fails half way. What a killed one left running, the next one ends first.
"""

import asyncio
import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import asyncpg
import click
from rich.console import Console
from rich.text import Text

from runtime import migrations, processes
from runtime.children import Child, end_leftovers
from runtime.cli.banner import banner
from runtime.cli.progress import step
from runtime.cli.stopping import Stopped, StopRequest, stop_request
from runtime.embedded.postgres import PostgresServer
from runtime.embedded.server import ServerError, records_folder
from runtime.embedded.valkey import ValkeyServer
from runtime.ports import is_free
from runtime.processes import ProcessError, Processes
from runtime.settings import Settings, settings

_LEFTOVER_TIMEOUT_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.1
_COLOURS: Final = {"gateway": "cyan", "worker": "green", "scheduler": "magenta", "demo": "yellow"}


@click.command()
def up() -> None:
    """Start Tidegate on this machine, and stop it with Ctrl-C.

    Starts an embedded Postgres and an embedded Valkey (with DATABASE_URL and REDIS_URL set: uses those instead),
    brings the database up to date, runs the Procfile's processes, fills an empty database with the demo catalogue,
    and prints where everything is, tokens to paste, and a first order to place.

    PORT moves the gateway, TIDEGATE_HOME the data.
    """
    console = Console(highlight=False, markup=False)
    begun = time.monotonic()
    try:
        with stop_request() as stop:
            _run(settings(), console, stop, begun)
    except Stopped:
        console.print("Stopped.")
    except (ServerError, ProcessError) as error:
        raise click.ClickException(str(error)) from error


def _run(config: Settings, console: Console, stop: StopRequest, begun: float) -> None:
    home = config.home.resolve()
    given = _given_servers(config)
    with _locked(home), ExitStack() as running:
        for name in end_leftovers(records_folder(home), _LEFTOVER_TIMEOUT_SECONDS):
            console.print(f"Ended {name}, left running by a `tidegate up` that was killed.")
        if not is_free(config.port, config.host):
            raise click.ClickException(f"port {config.port} is taken: set PORT to another, or stop what listens there")
        database_url, redis_url = given or _embedded_servers(home, console, stop, running)
        with step(console, "Database") as current:
            migrations.upgrade(database_url)
            current.detail = f"at migration {migrations.head()}"
        stop.check()
        environment = processes.environment(
            os.environ, database_url=database_url, redis_url=redis_url, host=config.host, port=config.port, home=home
        )
        procfile = Processes(home, environment)
        running.callback(procfile.stop)
        with step(console, "Processes") as current:
            commands = processes.commands()
            for name, command in commands.items():
                _show(console, procfile.start(name, command, subprocess.PIPE))
            procfile.wait_until_ready(config.host, config.port, stop.check)
            current.detail = ", ".join(commands)
        if not asyncio.run(_has_products(database_url)):
            _load_demo(console, procfile, stop)
        console.print(f"Ready in {time.monotonic() - begun:.1f} s.")
        sku = asyncio.run(_orderable_sku(database_url))
        click.echo(banner(config, database_url=database_url, redis_url=redis_url, sku=sku))
        _watch(procfile, stop)


def _given_servers(config: Settings) -> tuple[str, str] | None:
    """The servers named by the environment, as (Postgres, Redis); None if they are ours to start."""
    given = config.model_fields_set & {"database_url", "redis_url"}
    if len(given) == 1:
        raise click.ClickException("set both DATABASE_URL and REDIS_URL, or neither: one server alone is not embedded")
    return (config.database_url, config.redis_url) if given else None


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Keeps a second `tidegate up` out of this home. The system lets go of the lock when we end, however we end."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise click.ClickException(f"another `tidegate up` runs in {home}: stop it, or set TIDEGATE_HOME") from None
        yield


def _embedded_servers(home: Path, console: Console, stop: StopRequest, running: ExitStack) -> tuple[str, str]:
    urls = []
    for server in (PostgresServer(home), ValkeyServer(home)):
        with step(console, server.title) as current:
            server.start(stop.check)
            running.callback(server.stop)
            current.detail = f"on port {server.port}"
        stop.check()
        urls.append(server.url)
    database_url, redis_url = urls
    return database_url, redis_url


def _show(console: Console, child: Child) -> threading.Thread:
    """Prints what the child says, line by line, until it ends."""

    def copy() -> None:
        assert child.process.stdout is not None
        with child.process.stdout as lines:
            for line in lines:
                said = Text.from_ansi(line.decode(errors="replace").rstrip("\r\n"))
                head = Text(f"{datetime.now().astimezone():%H:%M:%S} {child.name:<9} | ", _COLOURS.get(child.name, ""))
                console.print(head + said, soft_wrap=True)

    thread = threading.Thread(target=copy, name=f"output of {child.name}", daemon=True)
    thread.start()
    return thread


def _load_demo(console: Console, procfile: Processes, stop: StopRequest) -> None:
    with step(console, "Demo") as current:
        child = procfile.start("demo", "exec tidegate demo", subprocess.PIPE)
        output = _show(console, child)
        while child.returncode is None:
            stop.check()
            time.sleep(_POLL_SECONDS)
        output.join()
        if child.returncode != 0:
            raise ProcessError(f"`tidegate demo` failed with exit code {child.returncode}")
        procfile.forget("demo")
        current.detail = "catalogue loaded"


async def _has_products(database_url: str) -> bool:
    return bool(await _fetch(database_url, "SELECT EXISTS (SELECT FROM products)"))


async def _orderable_sku(database_url: str) -> str | None:
    """The product with the most to sell."""
    sku: str | None = await _fetch(
        database_url,
        "SELECT sku FROM stock JOIN products USING (sku) WHERE on_hand > reserved"
        " ORDER BY on_hand - reserved DESC, sku LIMIT 1",
    )
    return sku


async def _fetch(database_url: str, query: str) -> object:
    connection = await asyncpg.connect(database_url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def _watch(procfile: Processes, stop: StopRequest) -> None:
    """Returns never: raises when an end is asked for, or a process ends by itself."""
    while True:
        stop.check()
        ended = procfile.ended()
        if ended is not None:
            raise ProcessError(f"{ended.name} ended by itself, with exit code {ended.returncode}; all was stopped")
        time.sleep(_POLL_SECONDS)
