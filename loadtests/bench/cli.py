"""`tidegate bench`: measures Tidegate against what else could be done with the same machine, in one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from loadtests.bench import plan as plans
from loadtests.bench.accept import Accept
from loadtests.bench.apply import Apply
from loadtests.bench.browse import Browse
from loadtests.bench.checkouts import Checkouts
from loadtests.bench.costs import Costs
from loadtests.bench.end_to_end import EndToEnd
from loadtests.bench.feed import Feed
from loadtests.bench.imports import Imports
from loadtests.bench.pgbench import Pgbench
from loadtests.bench.plan import Plan, Section
from loadtests.bench.rounds import run
from loadtests.bench.rows import Rows
from loadtests.bench.search import Search
from loadtests.bench.sockets import SOCKETS, Sockets
from loadtests.bench.stage import Stage
from loadtests.bench.targets import targets
from loadtests.bench.verify import Verify
from loadtests.bench.wait import Wait
from loadtests.bench.waiting import Waiting

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
    run(
        plan,
        lambda stage: _sections(stage, plan, only),
        lambda results: targets(results, plan.rows),
        json_file,
    )


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
