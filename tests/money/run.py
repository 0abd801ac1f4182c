"""`python -m tests.money.run --checkouts 3000 --seed 1`: sells against a hostile provider while everything is killed in
turn, waits until all is settled, and compares the books."""

from __future__ import annotations

import asyncio
import math
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from random import Random
from typing import Any, Final

import click

from tests.chaos.auditor import Findings
from tests.chaos.inside import moneybugs
from tests.e2e.ledger import Ledger
from tests.money.auditor import Auditor
from tests.money.books import Books
from tests.money.buyers import Buyer
from tests.money.clerks import Clerk
from tests.money.client import NeverAnswered, Persistent, Told
from tests.money.plan import KILLED_IN_TURN, Kill, Purchase, kills, purchases
from tests.money.shop import Shop, stated
from tests.money.system import HostileSystem
from tests.system import eventually_seen

CHECKOUTS: Final = 3_000
_CHECKOUTS_A_KILL: Final = 250
_BUYERS: Final = 48
"""At once."""
_SAYS_MAX: Final = 20
_SETTLES_WITHIN_SECONDS: Final = 120.0
_SETTLES_WITHIN_WITH_A_BUG_SECONDS: Final = 20.0
"""It may never."""
_SWEEPS_MAX: Final = 10
_SETTINGS: Final = {
    "TIDEGATE_HOLD_SECONDS": "12",
    "TIDEGATE_HOLD_GRACE_SECONDS": "4",
    "TIDEGATE_PAYMENT_TIMEOUT_SECONDS": "1.5",  # less than the provider hangs for
    "TIDEGATE_PAYMENT_ASK_SECONDS": "2",
    "TIDEGATE_PAYMENT_ASK_MAX_SECONDS": "8",
    "TIDEGATE_TASK_LEASE_SECONDS": "2",
    "TIDEGATE_TASK_RETRY_MAX_SECONDS": "2",
}
_UNSETTLED: Final = """
    SELECT (SELECT count(*) FROM tasks WHERE state <> 'dead') + (SELECT count(*) FROM payments WHERE is_pending)
        + (SELECT count(*) FROM orders WHERE status = 'placed')
"""


async def run(
    seed: int,
    checkouts: int,
    *,
    seconds: float = math.inf,
    kill_count: int | None = None,
    bug: str | None = None,
    say: bool = False,
) -> Findings:
    """Makes this many checkouts, as the seed says, in a system of its own; none begins after `seconds`. Returns what
    was found in the end. `kill_count` is how often something is killed, by default once in 250
    checkouts, and each thing at least once. `bug` is planted into the processes; `say` prints what happens."""
    if kill_count is None:
        kill_count = max(len(KILLED_IN_TURN), checkouts // _CHECKOUTS_A_KILL)
    with HostileSystem(_SETTINGS, bug) as system:
        told = Told()
        shop = await stated(system, checkouts, Random(f"shop {seed}"))
        async with Persistent(system) as client:
            rush = _Rush(system, client, shop, told, say=say)
            began = time.monotonic()
            deaths = kills(seed, checkouts, kill_count) if kill_count else []
            await rush.goes(seed, purchases(seed, checkouts), deaths, until=began + seconds)
            took = time.monotonic() - began
            await system.calms_down()
            within_seconds = _SETTLES_WITHIN_SECONDS if bug is None else _SETTLES_WITHIN_WITH_A_BUG_SECONDS
            unsettled = await _settle(system, Clerk(client, told, f"sweep {seed}"), within_seconds)
        async with Ledger(system) as ledger:
            findings = Auditor(await Books.read(system, ledger.connection), told).audit()
        findings.found += unsettled
        reconciled = await asyncio.to_thread(system.tidegate, "payments", "reconcile", "sandbox", "--settling", "0")
        findings.unless(reconciled.returncode == 0, f"reconcile: {reconciled.stdout}{reconciled.stderr}")
        code, report = await asyncio.to_thread(system.verify)
        findings.unless(code == 0, f"verify: {report['differences']}")
        waiting = report["counts"]["mailbox_entries_waiting"]
        findings.unless(waiting == 0, f"{waiting} commands wait")
        findings.counts.update(rush.killed)
        findings.counts["checkouts a minute"] = round(60 * len(told.bought) / took)
        return findings


class _Rush:
    """All purchases, a few at once, and the kills among them."""

    def __init__(self, system: HostileSystem, client: Persistent, shop: Shop, told: Told, *, say: bool) -> None:
        self.killed: Counter[str] = Counter()
        self._system = system
        self._client = client
        self._shop = shop
        self._told = told
        self._say = say
        self._done = 0
        self._is_over = False
        self._progress = asyncio.Condition()

    async def goes(self, seed: int, plans: Iterator[Purchase], deaths: Sequence[Kill], *, until: float) -> None:
        """Returns when all is bought, or all that was begun `until` then (monotonic), and everything that was killed is
        alive again."""
        await self._system.turns(Random(f"mood {seed}"))
        in_time = takewhile(lambda _: time.monotonic() < until, plans)
        async with asyncio.TaskGroup() as everybody:
            everybody.create_task(self._kill(seed, deaths))
            async with asyncio.TaskGroup() as people:
                for _ in range(_BUYERS):
                    people.create_task(self._live(in_time))
            async with self._progress:
                self._is_over = True
                self._progress.notify_all()

    async def _live(self, plans: Iterator[Purchase]) -> None:
        for plan in plans:
            try:
                order_id = await Buyer(self._client, self._shop, self._told, plan).buy()
                if order_id is not None and plan.staff:
                    clerk = Clerk(self._client, self._told, str(plan.number))
                    await clerk.look_after(order_id, plan.staff)
            except NeverAnswered as error:
                self._told.wrong.append(f"purchase {plan.number}: {error}")
            async with self._progress:
                self._done += 1
                self._progress.notify_all()

    async def _kill(self, seed: int, deaths: Sequence[Kill]) -> None:
        for number, kill in enumerate(deaths):
            async with self._progress:
                await self._progress.wait_for(lambda: self._is_over or self._done >= kill.after)  # noqa: B023 - now
                if self._is_over:
                    return
            if self._say:
                click.echo(f"  {self._done:,} done; {kill.target} is killed, for {kill.lasts:.1f} s")
            await self._system.kill(kill)
            self.killed[f"kills of {kill.target}"] += 1
            await self._system.turns(Random(f"mood {seed} {number}"))


async def _settle(system: HostileSystem, clerk: Clerk, within_seconds: float) -> list[str]:
    """Waits until nothing is pending, while staff refund what is kept for orders that have ended. Returns what is
    wrong."""
    found: list[str] = []
    async with Ledger(system) as ledger:

        async def settled() -> bool:
            return not await ledger.connection.fetchval(_UNSETTLED) and await system.tells_nobody()

        for _ in range(_SWEEPS_MAX):
            try:
                await eventually_seen("an end of all payments", settled, within_seconds=within_seconds)
            except AssertionError as error:
                return [*found, str(error)]
            if not (orphaned := await clerk.orphaned()):
                return found
            found += [
                f"payment {payment['id']} of an order that is no more was not let go"
                for payment in orphaned
                if not _is_for_staff(payment)
            ]
            await asyncio.gather(*map(clerk.settle, orphaned))
    return [*found, f"money of orders that are no more, after {_SWEEPS_MAX} sweeps"]


def _is_for_staff(payment: Mapping[str, Any]) -> bool:
    """Whether it is right that money of an order that has ended is left for staff: charges are, and authorizations that
    the provider did not void. What cards paid goes back automatically."""
    has_failed = any(entry["type"] == "cancel_failure" for entry in payment["entries"])
    return payment["card_id"] is None and (has_failed or not payment["capturable_minor"])


@click.command()
@click.option("--checkouts", default=CHECKOUTS, show_default=True, help="How many.")
@click.option("--seed", default=1, show_default=True, help="What people do, and what is killed, follows from it.")
@click.option("--seconds", default=math.inf, help="Begin none after that. [default: all]")
@click.option("--kills", "kill_count", type=int, help="How often something is killed. [default: once in 250 checkouts]")
@click.option("--bug", type=click.Choice(list(moneybugs.PLACES)), help="Plant this bug, to see that it is found.")
def main(checkouts: int, seed: int, seconds: float, kill_count: int | None, bug: str | None) -> None:
    """Sell against a hostile provider while everything is killed in turn, and compare the books."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whatever ends us, the system is ended, too
    findings = asyncio.run(run(seed, checkouts, seconds=seconds, kill_count=kill_count, bug=bug, say=True))
    for what, count in sorted(findings.counts.items()):
        click.echo(f"  {count:,} {what}")
    for said in findings.found[:_SAYS_MAX]:
        click.echo(f"  FOUND: {said}")
    click.echo(f"seed {seed}: {len(findings.found)} findings")
    sys.exit(1 if findings.found else 0)


if __name__ == "__main__":
    main()
