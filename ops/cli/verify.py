"""`tidegate verify`: folds the log, compares it with every table, and prints the differences."""

import asyncio
import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from ops.archive.files import BadArchive
from ops.archive.turns import HeldBack
from ops.console import differences
from ops.console.progress import bars
from ops.verify import Incomplete, Report
from ops.verify import verify as run_verification
from runtime.settings import settings


@click.command(short_help="Fold the event log and compare it with every table.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--from-zero", is_flag=True, help="Fold the whole log, without trusting the stored fold.")
@click.option(
    "--with-archive",
    "archive",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Also read what `tidegate archive` moved to this folder: fold the whole log, from its first event on.",
)
def verify(as_json: bool, from_zero: bool, archive: Path | None) -> None:
    """Fold the event log and compare it with every table and mailbox: from where the background processes have come
    with the stored fold, or from its beginning. Exit code 0 with the counts, or 1 with the differences. It may run
    while the system is busy.
    """
    with _Bars() as progress:
        config = settings()
        try:
            report = asyncio.run(
                run_verification(
                    config.database_url,
                    config.redis_url,
                    mailbox_count=config.mailbox_count,
                    from_zero=from_zero,
                    archive=archive,
                    progress=progress.show,
                )
            )
        except (Incomplete, BadArchive, HeldBack) as error:
            raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(msgspec.json.encode(report.document()))
    else:
        _print(report)
    sys.exit(0 if report.clean else 1)


class _Bars:
    """One progress bar per check, on standard error."""

    def __init__(self) -> None:
        self._progress = bars(
            TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "_Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, check: str, done: int, total: int) -> None:
        if check not in self._tasks:
            self._tasks[check] = self._progress.add_task(check)
        self._progress.update(self._tasks[check], completed=done, total=total)


def _print(report: Report) -> None:
    console = Console()
    table = Table("compared", "count", title="Clean" if report.clean else "Differences found")
    for name, count in report.counts.items():
        table.add_row(name.replace("_", " "), f"{count:,}")
    console.print(table)
    document = report.document()
    differences.show(console, document["differences"], document["difference_counts"])
