"""`tidegate bench`: measures Tidegate against what else could be done with the same machine, in one run."""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from loadtests import baskets
from loadtests.bench import plan as plans
from loadtests.bench import report
from loadtests.bench.accept import Accept
from loadtests.bench.apply import Apply
from loadtests.bench.browse import Browse
from loadtests.bench.checkouts import Checkouts
from loadtests.bench.configuration import busy_percent, configuration, noise
from loadtests.bench.costs import Costs
from loadtests.bench.end_to_end import EndToEnd
from loadtests.bench.feed import Feed
from loadtests.bench.imports import Imports
from loadtests.bench.pgbench import Pgbench
from loadtests.bench.plan import Failure, Plan, Results, Section
from loadtests.bench.rows import Rows
from loadtests.bench.search import Search
from loadtests.bench.sockets import SOCKETS, Sockets
from loadtests.bench.stage import BenchError, Stage
from loadtests.bench.targets import targets
from loadtests.bench.verify import Verify
from loadtests.bench.wait import Wait
from loadtests.bench.waiting import Waiting
from ops.embedded.server import ServerError
from ops.processes import ProcessError
from ops.stopping import Stopped, StopRequest, stop_request
from runtime.settings import settings

SECTIONS: Final = (
    Pgbench,
    Apply,
    EndToEnd,
    Accept,
    Wait,
    Waiting,
    Checkouts,
    Browse,
    Search,
    Imports,
    Verify,
    Feed,
    Costs,
)
MILLION_ORDERS: Final = 1_000_000


@click.command()
@click.option("--quick", is_flag=True, help="One short round instead of several: a first look in under two minutes.")
@click.option(
    "--only",
    type=click.Choice([section.name for section in (*SECTIONS, Rows, Sockets)]),
    multiple=True,
    help="Measure only this section; can be given more than once.",
)
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Also measure applying on a table of N orders ({MILLION_ORDERS:,} say), and on an empty one beside it.",
)
@click.option(
    "--sockets",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Also measure N idle sockets at the same time ({SOCKETS:,} say).",
)
@click.option("--seconds", type=click.FloatRange(min=1, max=600), help="How long each rate is measured.  [default: 4]")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default="bench.json",
    show_default=True,
    help="Where to write everything as JSON.",
)
def bench(
    quick: bool, only: Sequence[str], rows: int | None, sockets: int | None, seconds: float | None, json_file: Path
) -> None:
    """Measure apply, accept and the whole way of an order, each beside its baseline.

    Starts a Postgres and a Valkey of its own, with full durability, and leaves others alone. Needs a machine with
    nothing else to do: each side is given what the machine has. Settings (TIDEGATE_...) count as for `tidegate up`.

    Results are written after every section. One that fails says why and is left out from then on, the others go on, and
    the exit code is 1.
    """
    plan = _plan(quick, only, rows, sockets, seconds)
    console = Console(stderr=True)
    begun = time.monotonic()
    results = Results()
    busy = busy_percent()
    if warning := noise(busy):
        console.print(f"[yellow]Warning:[/] {warning}")
    try:
        with (
            stop_request() as stop,
            tempfile.TemporaryDirectory(prefix="tidegate-bench-", ignore_cleanup_errors=True) as folder,
        ):
            home = Path(folder)
            home.chmod(0o711)  # Postgres may have to run as another user, who must pass through
            with Stage(home, settings(), baskets.shipped()) as stage:
                facts = configuration(stage, busy)

                def keep() -> None:
                    document = report.document(
                        results, targets(results, plan.rows), facts, plan, time.monotonic() - begun
                    )
                    _replace(json_file, msgspec.json.format(msgspec.json.encode(document)) + b"\n")

                _measure(_sections(stage, plan, only), plan, results, console, stop, keep)
    except Stopped:
        kept = f"what was measured is in {json_file}" if results.series else "nothing was measured yet"
        raise click.ClickException(f"stopped; {kept}") from None
    except (BenchError, ServerError, ProcessError) as error:
        raise click.ClickException(str(error)) from error
    Console().print(report.tables(results, targets(results, plan.rows), facts))
    console.print(f"{time.monotonic() - begun:.0f} s; written to {json_file}")
    if results.failures:
        names = ", ".join(failure.section for failure in results.failures)
        raise click.ClickException(f"failed: {names}; the reasons are above, and in {json_file}")


def _plan(quick: bool, only: Sequence[str], rows: int | None, sockets: int | None, seconds: float | None) -> Plan:
    changes: dict[str, Any] = {}
    if seconds is not None:
        changes["seconds"] = seconds
    if rows is not None or Rows.name in only:
        changes["rows"] = rows or MILLION_ORDERS
    if sockets is not None or Sockets.name in only:
        changes["sockets"] = sockets or SOCKETS
    return msgspec.structs.replace(plans.QUICK if quick else plans.FULL, **changes)


def _sections(stage: Stage, plan: Plan, only: Sequence[str]) -> list[Section]:
    chosen: list[Section] = [section(stage, plan) for section in SECTIONS if not only or section.name in only]
    if plan.rows:
        chosen.append(Rows(stage, plan))
    if plan.sockets:
        chosen.append(Sockets(stage, plan))
    return chosen


def _replace(path: Path, data: bytes) -> None:
    """Replaces the file atomically: a reader finds the old one or the new one, even after a crash."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_bytes(data)
    beside.replace(path)


def _measure(
    sections: Sequence[Section],
    plan: Plan,
    results: Results,
    console: Console,
    stop: StopRequest,
    keep: Callable[[], None],
) -> None:
    """All rounds; `keep` is called after each section. The bar is drawn between measurements only, so that it takes no
    time from any."""
    steps = plan.rounds * sum(len(section.titles()) for section in sections)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        task = progress.add_task("starting", total=steps)
        for round_number in range(1, plan.rounds + 1):
            for section in sections:
                if results.has_failed(section.name):
                    progress.advance(task, len(section.titles()))
                    continue
                measuring = section.measure()
                try:
                    for title in section.titles():
                        stop.check()
                        said = f"round {round_number} of {plan.rounds}: {title}"
                        progress.update(task, description=said, refresh=True)
                        for measured in next(measuring):
                            results.add(measured)
                        progress.advance(task)
                    assert next(measuring, None) is None, f"{section.name} measures more than its titles say"
                except Stopped:
                    raise
                except Exception as error:  # whatever it is, the others are worth measuring
                    results.failures.append(Failure(section.name, round_number, _reason(error)))
                    progress.console.print(f"{section.name} failed: {_reason(error)}", style="red", markup=False)
                finally:
                    measuring.close()
                keep()
        progress.update(task, description="done", refresh=True)


def _reason(error: Exception) -> str:
    """In one line, for who measures; one that we did not foresee, also by its kind and place."""
    if isinstance(error, (BenchError, ServerError, ProcessError)):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
