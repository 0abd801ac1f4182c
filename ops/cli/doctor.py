"""`tidegate doctor`: what is wrong, and what to do."""

import asyncio
import sys
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.text import Text

from ops.doctor import examine
from ops.doctor.finding import Finding
from runtime.settings import settings

_MARKS: Final = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failure": ("✗", "red")}
_CHECK_CHARS: Final = 30


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json: bool) -> None:
    """Check settings, servers and this machine, and say what to do about what is wrong.

    Looks at versions, durability, roles, migrations, clocks, memory, disks, open files, the folder for metrics, and the
    gateway, and changes nothing. Exit code 1 if anything fails; warnings may be meant.
    """
    findings = asyncio.run(examine(settings()))
    fails = any(finding.level == "failure" for finding in findings)
    if as_json:
        click.echo(msgspec.json.encode({"ok": not fails, "checks": findings}))
    else:
        _print(findings)
    sys.exit(1 if fails else 0)


def _print(findings: list[Finding]) -> None:
    console = Console(highlight=False)
    for finding in findings:
        mark, colour = _MARKS[finding.level]
        console.print(Text(f"{mark} {finding.check:<{_CHECK_CHARS}} ", colour) + finding.said, soft_wrap=True)
        if finding.advice is not None:
            console.print(Text(f"  {'':<{_CHECK_CHARS}} {finding.advice}", colour), soft_wrap=True)
