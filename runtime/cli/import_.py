"""`tidegate import`: sends a file of products, variants and stock, watches it come in, and shows what was rejected."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO, Any, Final
from uuid import uuid4

import aiohttp
import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from runtime.cli.gateway import API, Access, access, access_options, checked, gateway
from runtime.cli.progress import bars
from runtime.listings.columns import CSV, JSON_LINES

_MEDIA_TYPES: Final = {CSV: "text/csv", JSON_LINES: "application/x-ndjson"}
_FORMAT_OF_SUFFIX: Final = {".csv": CSV, ".jsonl": JSON_LINES, ".ndjson": JSON_LINES}
_CHUNK_BYTES: Final = 262_144
_LOOK_SECONDS: Final = 0.25
_ERRORS_SHOWN: Final = 20


@click.command("import", short_help="Bring in products, variants and stock from a file.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "form", type=click.Choice([*_MEDIA_TYPES]), help="What FILE is.  [default: by its name]")
@click.option("--dry-run", is_flag=True, help="Say what would become of each row, and change nothing.")
@access_options
def import_(file: Path, form: str | None, dry_run: bool, url: str | None, token: str | None) -> None:
    """Bring in FILE: CSV with a header line, or JSON Lines, a row for each variant.

    `tidegate export products` writes such a file. Rows that cannot be applied are shown with their lines, the others
    are applied. Exit code 1 if there were any, or if the import failed.
    """
    form = form or _FORMAT_OF_SUFFIX.get(file.suffix.lower())
    if form is None:
        raise click.BadParameter(f"{file.name} does not say what it is: name it with --format.", param_hint="FILE")
    found, errors = asyncio.run(_import(access(url, token, "admin"), file, file.stat().st_size, form, dry_run))
    _print(found, errors)
    sys.exit(0 if found["status"] == "succeeded" and not found["rejected"] else 1)


async def _import(
    to: Access, file: Path, size: int, form: str, dry_run: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What became of the import of a file of `size` bytes, and its first errors."""
    columns = (TextColumn("{task.description:>10}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with bars(*columns) as progress:
        async with gateway(to) as session:
            sending = progress.add_task("sending", total=size)
            url = await _send(session, file, form, dry_run, lambda sent: progress.advance(sending, sent))
            taking_in = progress.add_task("rehearsing" if dry_run else "taking in", total=size)
            while True:
                async with session.get(url) as response:
                    found: dict[str, Any] = await (await checked(response)).json()
                progress.update(taking_in, completed=round(found["progress"] * size))
                if found["finished_at"] is not None:
                    break
                await asyncio.sleep(_LOOK_SECONDS)
            async with session.get(found["errors_url"], params={"limit": _ERRORS_SHOWN}) as response:
                return found, (await (await checked(response)).json())["items"]


async def _send(
    session: aiohttp.ClientSession, file: Path, form: str, dry_run: bool, progress: Callable[[int], None]
) -> str:
    """Sends the file; returns where to see how far its import is."""
    with file.open("rb") as data:
        async with session.post(
            f"{API}/imports",
            params={"dry_run": str(dry_run).lower()},
            data=_chunks(data, progress),
            headers={"Content-Type": _MEDIA_TYPES[form], "Idempotency-Key": uuid4().hex},
        ) as response:
            url: str = (await (await checked(response)).json())["status_url"]
            return url


async def _chunks(data: IO[bytes], progress: Callable[[int], None]) -> AsyncIterator[bytes]:
    while chunk := data.read(_CHUNK_BYTES):
        yield chunk
        progress(len(chunk))


def _print(found: dict[str, Any], errors: list[dict[str, Any]]) -> None:
    console = Console()
    if found["failure"] is not None:
        console.print(f"[red]Failed:[/] {found['failure']['detail']}", soft_wrap=True)
        return
    changed = "would change something" if found["dry_run"] else "applied"
    counts = f"{found['applied']:,} {changed}, {found['unchanged']:,} unchanged, {found['rejected']:,} rejected"
    console.print(f"{found['rows']:,} rows: {counts}.", highlight=False)
    if errors:
        table = Table("line", "column", "code", "what is wrong")
        for error in errors:
            table.add_row(str(error["line"]), error["column"] or "", error["code"], error["detail"])
        console.print(table)
    if found["rejected"] > len(errors):
        console.print(f"More at {found['errors_url']}.", highlight=False)
