"""`tidegate archive`: moves old events out of the database, into files."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click

from ops.archive.files import BadArchive, Manifest
from ops.archive.limits import Asked
from ops.archive.moving import archive as run_archive
from ops.archive.restoring import restore as run_restore
from ops.archive.turns import HeldBack
from runtime.settings import settings

_MIB: Final = 2**20


@click.command(short_help="Move old events out of the database, into compressed files.")
@click.option(
    "--to",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The folder of the archive. It is created if it does not exist.",
)
@click.option("--before-seq", type=click.IntRange(min=2), metavar="SEQ", help="Only events before this one.")
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Only events older than this.  [default: TIDEGATE_LOG_ARCHIVE_AFTER_DAYS]",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be archived.")
@click.option("--restore", "put_back", is_flag=True, help="Put everything that was archived back into the database.")
def archive(folder: Path, before_seq: int | None, older_than: float | None, dry_run: bool, put_back: bool) -> None:
    """Move the oldest partitions of the log, events and commands, into files of compressed JSON Lines, each with a
    manifest that has its checksum, and remove them from the database. It goes on while the shop is busy, and may be
    interrupted and repeated at any time. Keep the folder: `tidegate verify --with-archive` reads it.

    Only whole partitions go, and only those that nobody needs any more: which are verified, and which every reaction
    and task has passed. Commands follow their events. Clients that want to go on from before what is left are told so
    (`archived`).

    With `--restore`, all of it comes back into the database; the files stay.
    """
    if put_back:
        if dry_run or before_seq is not None or older_than is not None:
            raise click.UsageError("--restore puts everything back: it takes no options besides --to.")
        _restore(folder)
        return
    config, now = settings(), datetime.now(UTC)
    if before_seq is None and older_than is None:
        older_than = config.log_archive_after_days or None
        if older_than is None:
            raise click.UsageError(
                "Say how far: use --before-seq or --older-than, or set TIDEGATE_LOG_ARCHIVE_AFTER_DAYS."
            )
    asked = Asked(
        before_seq,
        None if older_than is None else now - timedelta(days=older_than),
        now - 2 * timedelta(seconds=config.idempotency_seconds),
    )
    try:
        moved = asyncio.run(run_archive(config.database_url, folder, asked, dry_run=dry_run, step=_show))
    except (BadArchive, HeldBack) as error:
        raise click.ClickException(str(error)) from error
    for manifest in moved.manifests:
        click.echo(_said(manifest, dry_run))
    if not moved.manifests:
        click.echo("Nothing to archive.")
    for reason in moved.stopped_because:
        click.echo(f"Up to {reason}.")


def _restore(folder: Path) -> None:
    try:
        restored = asyncio.run(run_restore(settings().database_url, folder, _show))
    except (BadArchive, HeldBack) as error:
        raise click.ClickException(str(error)) from error
    for manifest in restored:
        click.echo(f"{manifest.rows:,} {manifest.table} are back: {manifest.file}")
    if not restored:
        click.echo("Nothing is archived.")


def _show(name: str, done: str) -> None:
    click.echo(f"{name}: {done}", err=True)


def _said(manifest: Manifest, dry_run: bool) -> str:
    what = f"{manifest.rows:,} {manifest.table}"
    to = f"{manifest.file}, {manifest.bytes / _MIB:,.1f} MiB"
    return f"Would archive {what}: {manifest.file}" if dry_run else f"{what}: {to}"
