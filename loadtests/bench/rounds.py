"""A run of benchmarks: every section once a round; results are written after each, and tables printed at the end."""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from loadtests import baskets
from loadtests.bench import report
from loadtests.bench.configuration import busy_percent, configuration, noise
from loadtests.bench.plan import Failure, Plan, Results, Section
from loadtests.bench.stage import BenchError, Stage
from loadtests.bench.targets import Target
from ops.embedded.server import ServerError
from ops.processes import ProcessError
from ops.stopping import Stopped, StopRequest, stop_request
from runtime.settings import settings


def run(
    plan: Plan,
    sections_of: Callable[[Stage], Sequence[Section]],
    targets_of: Callable[[Results], Sequence[Target]],
    json_file: Path,
    more: Mapping[str, str] | None = None,
) -> None:
    """Measures, prints and writes everything. `more` is configuration to state beside the stage's own. Raises
    ClickException if anything failed."""
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
            home.chmod(0o711)  # Postgres may have to run as another user, who must be able to traverse it
            with Stage(home, settings(), baskets.shipped()) as stage:
                facts = {**configuration(stage, busy), **(more or {})}

                def keep() -> None:
                    document = report.document(results, targets_of(results), facts, plan, time.monotonic() - begun)
                    _replace(json_file, msgspec.json.format(msgspec.json.encode(document)) + b"\n")

                _measure(sections_of(stage), plan, results, console, stop, keep)
    except Stopped:
        kept = f"what was measured is in {json_file}" if results.series else "nothing was measured yet"
        raise click.ClickException(f"stopped; {kept}") from None
    except (BenchError, ServerError, ProcessError) as error:
        raise click.ClickException(str(error)) from error
    Console().print(report.tables(results, targets_of(results), facts))
    console.print(f"{time.monotonic() - begun:.0f} s; written to {json_file}")
    if results.failures:
        names = ", ".join(failure.section for failure in results.failures)
        raise click.ClickException(f"failed: {names}; the reasons are above, and in {json_file}")


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
    """Runs all rounds; `keep` is called after each section. The progress bar is drawn only between measurements, so
    that it does not affect them."""
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
                except Exception as error:  # whatever it is, the other sections are still measured
                    results.failures.append(Failure(section.name, round_number, _reason(error)))
                    progress.console.print(f"{section.name} failed: {_reason(error)}", style="red", markup=False)
                finally:
                    measuring.close()
                keep()
        progress.update(task, description="done", refresh=True)


def _reason(error: Exception) -> str:
    """The error in one line; an unexpected one with its type and place."""
    if isinstance(error, (BenchError, ServerError, ProcessError)):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
