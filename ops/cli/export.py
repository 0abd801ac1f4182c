"""`tidegate export`: the catalogue or the orders as a CSV file, streamed from the gateway."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import IO, Final

import click
from rich.progress import DownloadColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TransferSpeedColumn

from ops.cli.gateway import API, Access, access, access_options, checked, gateway
from ops.console.progress import bars

_STDOUT: Final = "-"
_CHUNK_BYTES: Final = 262_144


@click.group(short_help="Write the catalogue or the orders to a CSV file.")
def export() -> None:
    """Write the catalogue or the orders, as they are now, to a CSV file."""


_output = click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="The file to write, or `-` for standard output. [default: named after what is exported, with .csv]",
)


_bom = click.option(
    "--bom", is_flag=True, help="Begin with a byte order mark, so that Excel on Windows shows letters like \u00e9."
)


@export.command()
@_output
@_bom
@access_options
def products(output: str | None, bom: bool, url: str | None, token: str | None) -> None:
    """Products, variants and stock. `tidegate import` takes the file back."""
    _export(access(url, token, "staff"), "products.csv", _marked(bom), output)


@export.command()
@click.option("--from", "since", metavar="TIME", help="Placed at this moment (ISO 8601, UTC) or later.")
@click.option("--to", "until", metavar="TIME", help="Placed before this moment.")
@click.option("--status", help="Only orders with this status: placed, confirmed, fulfilled, cancelled or expired.")
@_output
@_bom
@access_options
def orders(
    since: str | None,
    until: str | None,
    status: str | None,
    output: str | None,
    bom: bool,
    url: str | None,
    token: str | None,
) -> None:
    """Orders, one row for each order line."""
    said = {"from": since, "to": until, "status": status}
    params = {name: value for name, value in said.items() if value is not None} | _marked(bom)
    _export(access(url, token, "staff"), "orders.csv", params, output)


def _marked(bom: bool) -> dict[str, str]:
    return {"bom": "true"} if bom else {}


def _export(to: Access, name: str, params: dict[str, str], output: str | None) -> None:
    """Writes next to the file and renames when complete, so that nobody mistakes a part of it for the whole."""
    if output == _STDOUT:
        asyncio.run(_copy(to, name, params, sys.stdout.buffer))
        return
    path = Path(output or name)
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            asyncio.run(_copy(to, name, params, file))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    click.echo(f"{path}: {path.stat().st_size:,} bytes")


async def _copy(to: Access, name: str, params: dict[str, str], file: IO[bytes]) -> None:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn())
    with bars(*columns, TimeElapsedColumn()) as progress:
        bar = progress.add_task(name, total=None)
        async with gateway(to) as session, session.get(f"{API}/exports/{name}", params=params) as response:
            async for chunk in (await checked(response)).content.iter_chunked(_CHUNK_BYTES):
                file.write(chunk)
                progress.advance(bar, len(chunk))
