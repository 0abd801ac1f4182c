"""Fuzzes the API at length: `python -m tests.fuzz.run --seconds 600 --seed 1`.

Every role gets its own system with the demo catalogue, and an equal part of the time. Violations are printed with the
request that shows them, as a curl command.
"""

import sys
import time

import click

from tests.fuzz.fuzzer import ROLES, SETTINGS, Pass, furnish, fuzz, left_behind
from tests.system import System


@click.command()
@click.option("--seed", default=1, show_default=True, help="The seed of the random cases.")
@click.option("--seconds", default=300, show_default=True, help="How long, for all roles together.")
@click.option("--cases", default=500, show_default=True, help="Cases per operation and phase, at most.")
@click.option("--role", "roles", multiple=True, default=ROLES, show_default=True, help="A role to act in; repeatable.")
def main(seed: int, seconds: int, cases: int, roles: tuple[str, ...]) -> None:
    """Send what the OpenAPI document allows, and what it does not, and check that every answer is as documented."""
    failed = []
    for role in roles:
        began = time.monotonic()
        with System(SETTINGS) as system:
            furnish(system)
            clean, report = fuzz(system, role, Pass(seed, cases, max(1, seconds // len(roles))))
            click.echo(report)
            found = left_behind(system)
            if found:
                click.echo("\n".join([*found, system.log_tails()]))
        if found or not clean:
            failed.append(role)
        click.echo(f"As {role}: {time.monotonic() - began:.0f} s from seed {seed}; {'bad' if role in failed else 'ok'}")
    click.echo(f"failed as: {', '.join(failed) or 'none'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
