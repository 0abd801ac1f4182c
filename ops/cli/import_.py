"""`tidegate import`: sends a file of products, variants and stock, follows its progress, and shows the outcome."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO, Any, Final
from uuid import uuid4

import aiohttp
import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from ops.cli.gateway import API, Access, access, access_options, checked, gateway
from ops.console.progress import bars
from runtime.listings.amounts import GRAMS_OF_UNIT
from runtime.listings.columns import CSV, JSON_LINES
from runtime.listings.encodings import ENCODINGS
from runtime.listings.headers import SEPARATORS
from runtime.listings.presets import PRESETS

_MEDIA_TYPES: Final = {CSV: "text/csv", JSON_LINES: "application/x-ndjson"}
_FORMAT_OF_SUFFIX: Final = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".txt"), CSV),
    **dict.fromkeys((".jsonl", ".ndjson"), JSON_LINES),
}
_CHUNK_BYTES: Final = 262_144
_LOOK_SECONDS: Final = 0.25
_ROWS_SHOWN: Final = 20


@click.command("import", short_help="Import products, variants and stock from a file.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "form", type=click.Choice([*_MEDIA_TYPES]), help="The format of FILE. [default: by its name]")
@click.option("--dry-run", is_flag=True, help="Show the outcome of each row without changing anything.")
@click.option("--preset", type=click.Choice([*PRESETS]), help="The shop system whose product export FILE is.")
@click.option(
    "--map",
    "mapped",
    multiple=True,
    metavar="COLUMN=FIELD",
    help="What a column of FILE holds; docs/imports.md lists the fields.",
)
@click.option("--encoding", type=click.Choice(ENCODINGS), help="The encoding of FILE. [default: detected]")
@click.option(
    "--separator", type=click.Choice([*SEPARATORS]), help="The character that separates cells. [default: detected]"
)
@click.option("--decimal", type=click.Choice(["point", "comma"]), help="The decimal separator of amounts and weights.")
@click.option("--currency", help="The currency of amounts that do not state one, such as EUR.")
@click.option("--weight-unit", type=click.Choice([*GRAMS_OF_UNIT]), help="The unit of weights that do not state one.")
@click.option("--category-separator", help="What separates the names in a category's path. [default: >]")
@click.option("--create-categories", is_flag=True, help="Create the categories that paths name and lack.")
@click.option("--derive-skus", is_flag=True, help="Generate SKUs for variants without one.")
@click.option("--sale-prices", is_flag=True, help="Sell at the sale price if there is one.")
@access_options
def import_(
    file: Path,
    form: str | None,
    dry_run: bool,
    mapped: tuple[str, ...],
    encoding: str | None,
    url: str | None,
    token: str | None,
    **layout: str | bool | None,
) -> None:
    """Import FILE: CSV with a header line, or JSON Lines, one row for each variant.

    `tidegate export products` writes such a file; --preset reads those of other shop systems, --map any other. Rows
    that cannot be applied are shown with their lines, the others are applied. Exit code 1 if there were any, or if the
    import failed.
    """
    form = form or _FORMAT_OF_SUFFIX.get(file.suffix.lower())
    if form is None:
        raise click.BadParameter(
            f"The format of {file.name} is not clear from its name: state it with --format.", param_hint="FILE"
        )
    params = {name: str(value).lower() if value is True else str(value) for name, value in layout.items() if value}
    if mapped:
        params["mapping"] = json.dumps(dict(map(_column_and_field, mapped)))
    params["dry_run"] = str(dry_run).lower()
    media_type = _MEDIA_TYPES[form] + (f"; charset={encoding}" if encoding else "")
    found, rows = asyncio.run(_import(access(url, token, "admin"), file, file.stat().st_size, media_type, params))
    _print(found, rows)
    sys.exit(0 if found["status"] == "succeeded" and not found["rejected"] else 1)


def _column_and_field(text: str) -> tuple[str, str]:
    column, equals, field = text.rpartition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not of the form COLUMN=FIELD.", param_hint="--map")
    return column, field


async def _import(
    to: Access, file: Path, size: int, media_type: str, params: dict[str, str]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The outcome of the import of a file of `size` bytes, and the rows to show."""
    dry_run = params["dry_run"] == "true"
    columns = (TextColumn("{task.description:>10}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with bars(*columns) as progress:
        async with gateway(to) as session:
            sending = progress.add_task("sending", total=size)
            url = await _send(session, file, media_type, params, lambda sent: progress.advance(sending, sent))
            taking_in = progress.add_task("trying" if dry_run else "taking in", total=size)
            while True:
                async with session.get(url) as response:
                    found: dict[str, Any] = await (await checked(response)).json()
                progress.update(taking_in, completed=round(found["progress"] * size))
                if found["finished_at"] is not None:
                    break
                await asyncio.sleep(_LOOK_SECONDS)
            async with session.get(found["rows_url"], params={"limit": _ROWS_SHOWN}) as response:
                return found, (await (await checked(response)).json())["items"]


async def _send(
    session: aiohttp.ClientSession,
    file: Path,
    media_type: str,
    params: dict[str, str],
    progress: Callable[[int], None],
) -> str:
    """Sends the file; returns the URL of the import's progress."""
    with file.open("rb") as data:
        async with session.post(
            f"{API}/imports",
            params=params,
            data=_chunks(data, progress),
            headers={"Content-Type": media_type, "Idempotency-Key": uuid4().hex},
        ) as response:
            url: str = (await (await checked(response)).json())["status_url"]
            return url


async def _chunks(data: IO[bytes], progress: Callable[[int], None]) -> AsyncIterator[bytes]:
    while chunk := data.read(_CHUNK_BYTES):
        yield chunk
        progress(len(chunk))


def _print(found: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    console = Console()
    if found["failure"] is not None:
        console.print(f"[red]Failed:[/] {escape(found['failure']['detail'])}", soft_wrap=True)
        return
    would = "would be " if found["dry_run"] else ""
    counts = [f"{found['created']:,} {would}created", f"{found['changed']:,} {would}changed"]
    counts += [f"{found['unchanged']:,} unchanged", f"{found['rejected']:,} rejected"]
    counts += [f"{found['left_aside']:,} left aside"] if found["left_aside"] else []
    console.print(f"{found['rows']:,} rows: {', '.join(counts)}.", highlight=False)
    if found["categories_created"]:
        console.print(f"{found['categories_created']:,} categories {would}created.", highlight=False)
    if found["encoding"] not in (None, "utf-8"):
        console.print(f"Read as {found['encoding']}; --encoding names another.", highlight=False)
    if found["ignored_columns"]:
        console.print(
            f"Columns ignored: {escape(', '.join(found['ignored_columns']))}.", highlight=False, soft_wrap=True
        )
    if rows:
        table = Table("line", "", "slug", "sku", "what")
        for row in rows:
            said = (str(row["line"]), row["outcome"].replace("_", " "), row["slug"] or "", row["sku"] or "", _what(row))
            table.add_row(*map(escape, said))
        console.print(table)
    told = sum(found[outcome] for outcome in ("rejected", "left_aside", *(("applied", "unchanged") if would else ())))
    if told > len(rows):
        console.print(f"More at {found['rows_url']}.", highlight=False)


def _what(row: dict[str, Any]) -> str:
    """What a row would change, or why it was not applied."""
    if row["detail"] is not None:
        where = f"{row['column']}: " if row["column"] else ""
        return f"{where}{row['detail']} ({row['code']})"
    return "; ".join(f"{each['column']}: {each['before']} -> {each['after']}" for each in row["changes"])
