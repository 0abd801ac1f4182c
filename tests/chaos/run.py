"""`python -m tests.chaos.run --seed 7`: breaks a system for a while, and judges what became of it."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from random import Random
from typing import Final

import click

from tests.chaos.auditor import Auditor, Findings
from tests.chaos.inside import bugs
from tests.chaos.inside.bugs import IN_DATABASE
from tests.chaos.plan import Fault, draw, names
from tests.chaos.shoppers import PLENTY, SCARCE, Shoppers
from tests.chaos.system import BreakableSystem
from tests.chaos.watchers import Watchers
from tests.e2e.ledger import Ledger, stock_up
from tests.system import eventually_seen

SECONDS: Final = 60.0
_SCARCE_PIECES: Final = 30
_SAYS_MAX: Final = 20
_SETTLES_WITHIN_SECONDS: Final = 15.0
_SETTINGS: Final = {
    "TIDEGATE_GATEWAY_PROCESSES": "2",
    "TIDEGATE_BATCH_MAX_COMMANDS": "8",  # a rush makes many batches, which are at work side by side
    "TIDEGATE_HOLD_SECONDS": "10",  # some orders expire before the end
    "TIDEGATE_TASK_LEASE_SECONDS": "2",  # what somebody left lying is taken up, often
    "TIDEGATE_TASK_RETRY_MAX_SECONDS": "2",
    "TIDEGATE_TASK_ATTEMPTS_MAX": "100",
    "TIDEGATE_JOB_CONCURRENCY": "8",  # whenever somebody dies, something is under way
    # A job whose connection dies silently under a statement is found only when that has taken too long.
    "TIDEGATE_JOB_MAX_SECONDS": "5",
}
_SETTLED: Final = (
    "SELECT count(*) FROM commands WHERE (principal, idempotency_key) IN (SELECT * FROM unnest($1::text[], $2::text[]))"
)


async def run(
    seed: int, seconds: float, *, only: Collection[str] = (), bug: str | None = None, say: bool = False
) -> Findings:
    """Breaks a system of its own for so many seconds, as the seed says; returns what was found when all was over.
    `only` names the faults to choose from (see `tests.chaos.plan`), all if empty.
    `bug` is planted into its processes; with `say`, each fault is printed as it comes."""
    with BreakableSystem(_SETTINGS, bug) as system:
        faults = draw(seed, seconds, only)
        await stock_up(system, PLENTY)
        await stock_up(system, SCARCE, _SCARCE_PIECES)
        if statement := IN_DATABASE.get(bug or ""):
            system.postgres.psql(statement)
        random = Random(seed)
        async with Watchers(system, random) as watchers:
            async with Shoppers(system, random) as shoppers:
                await _break(system, faults, seconds, say=say)
                await system.heal()
            findings = await _judge(system, shoppers, watchers)
        code, report = await asyncio.to_thread(system.verify)
        findings.unless(code == 0, f"verify: {report['differences']}")
        findings.counts["resumes"] = sum(watcher.resumed for watcher in watchers.all)
        findings.counts.update(f"{fault.what} {fault.target}" for fault in faults)
        return findings


async def _break(system: BreakableSystem, faults: Sequence[Fault], seconds: float, *, say: bool) -> None:
    """Each fault at its time; returns when all are over and the time is up."""
    began = time.monotonic()
    suffering = []
    for fault in faults:
        await asyncio.sleep(began + fault.at - time.monotonic())
        if say:
            click.echo(f"  {fault}")
        suffering.append(asyncio.create_task(system.suffer(fault)))
    await asyncio.sleep(began + seconds - time.monotonic())
    await asyncio.gather(*suffering)


async def _judge(system: BreakableSystem, shoppers: Shoppers, watchers: Watchers) -> Findings:
    accepted = [wish for wish in shoppers.wishes if {status for status, _ in wish.replies} & {200, 201, 202}]
    keys = [wish.principal for wish in accepted], [wish.key for wish in accepted]

    async with Ledger(system) as ledger:

        async def settled() -> bool:
            return bool(await ledger.connection.fetchval(_SETTLED, *keys) == len(accepted))

        async def all_tasks_done() -> bool:
            return not await ledger.connection.fetchval("SELECT count(*) FROM tasks")

        lost = await _in_time("an outcome of all that was accepted", settled)
        undone = await _in_time("an end of all tasks", all_tasks_done)
        # What expires from now on is not its business.
        async with ledger.connection.transaction(isolation="repeatable_read"):
            last_seq = await ledger.last_seq()
            late = await _in_time(f"seq {last_seq} at all watchers", lambda: watchers.have(last_seq))
            findings = await Auditor(shoppers.wishes, watchers.all).audit(ledger.connection)
    findings.found += filter(None, (lost, undone, late))
    return findings


async def _in_time(what: str, look: Callable[[], Awaitable[bool]]) -> str | None:
    """Waits for it; what was missed if it does not come."""
    try:
        await eventually_seen(what, look, within_seconds=_SETTLES_WITHIN_SECONDS)
    except AssertionError as error:
        return str(error)
    return None


@click.command()
@click.option("--seed", default=1, show_default=True, help="The first seed.")
@click.option("--seeds", default=1, show_default=True, help="How many seeds to run, one after the other.")
@click.option("--seconds", default=SECONDS, show_default=True, help="How long each system is broken.")
@click.option("--only", multiple=True, type=click.Choice(names()), help="Break only this; can be given more than once.")
@click.option("--bug", type=click.Choice(list(bugs.PLACES)), help="Plant this bug, to see that it is found.")
def main(seed: int, seeds: int, seconds: float, only: tuple[str, ...], bug: str | None) -> None:
    """Break a whole system in an order that a seed decides, and compare what everybody was told with the log."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whatever ends us, the system is ended, too
    failed = []
    for each in range(seed, seed + seeds):
        click.echo(f"seed {each}")
        findings = asyncio.run(run(each, seconds, only=only, bug=bug, say=True))
        click.echo("  " + ", ".join(f"{count:,} {what}" for what, count in sorted(findings.counts.items())))
        for said in findings.found[:_SAYS_MAX]:
            click.echo(f"  FOUND: {said}")
        if findings.found:
            failed.append(each)
            click.echo(f"  again: python -m tests.chaos.run --seed {each} --seconds {seconds:g}")
    click.echo(f"{seeds} seeds from {seed}; failed: {failed or 'none'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
