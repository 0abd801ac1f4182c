"""`tidegate load`: runs a scenario, against a system of its own or another one, and writes the reports.

It reads the scenarios and starts Locust, but imports neither: Locust patches whoever imports it.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import click

from domain.roles import ADMIN, CUSTOMER
from ops import processes
from ops.embedded.server import ServerError
from ops.processes import ProcessError
from ops.stopping import Stopped, stop_request
from ops.system import STOPPED_CODE, LocalSystem, run_command, temporary_system
from runtime.settings import settings
from runtime.signing_keys import key_ring
from runtime.tokens import mint

SCENARIOS: Final = Path(__file__).parents[1] / "scenarios"
REPORTS: Final = Path("build/load")
SHOPPERS: Final = 10_000
TOKEN_SECONDS: Final = 7 * 86_400

OWN_SETTINGS: Final = MappingProxyType(
    {
        # All users come from one address, and some of them share a key.
        "TIDEGATE_ADDRESS_READS_PER_SECOND": "0",
        "TIDEGATE_ADDRESS_WRITES_PER_SECOND": "0",
        "TIDEGATE_CONNECTIONS_MAX_PER_ADDRESS": "10000",
        "TIDEGATE_SOCKET_MAX_PER_ADDRESS": "10000",
    }
)
"""The settings of a system that we start ourselves."""

SETTINGS_FOR: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "hold_and_abandon": {"TIDEGATE_HOLD_SECONDS": "5"},
        # Redis begins to forget keys within the first half of the run, so its memory must be flat in the second.
        "soak": {"TIDEGATE_IDEMPOTENCY_SECONDS": "300"},
    }
)
"""More settings, by scenario."""


def scenarios() -> dict[str, str]:
    """The scenarios by name, each with its first sentences."""
    files = sorted(path for path in SCENARIOS.glob("*.py") if not path.stem.startswith("_"))
    said = {path.stem: ast.get_docstring(ast.parse(path.read_text())) or "" for path in files}
    return {name: " ".join(text.partition("\n\n")[0].split()) for name, text in said.items()}


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("name", required=False)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def load(name: str | None, options: tuple[str, ...]) -> None:
    """Run the load test NAME with these OPTIONS of Locust, or list them all.

    Without `--host` it starts a system of its own, in a folder that is removed afterwards. There is no web page unless
    one of Locust's `--web-` options is given. Reports go to build/load/NAME; the exit code is 1 if the verdict is that
    it failed. `--help` after NAME lists all options.
    """
    known = scenarios()
    if name is None:
        width = max(map(len, known))
        for each, said in known.items():
            click.echo(f"  {each:<{width}}  {said}")
        return
    if name not in known:
        raise click.UsageError(f"there is no load test {name!r}; there are {', '.join(known)}")
    command = locust_command(name, options)
    if _given(options, "--host", "-H", "--help", "-h", "--worker"):
        os.execv(command[0], [*command, *options])  # noqa: S606 - a full path
    try:
        own_settings = {**OWN_SETTINGS, **SETTINGS_FOR.get(name, {})}
        with stop_request() as stop, temporary_system(settings=own_settings, check=stop.check) as system:
            code = run_command([*command, *_known_to(system), *options], system, stop)
    except Stopped:
        code = STOPPED_CODE
    except (ServerError, ProcessError) as error:
        raise click.ClickException(str(error)) from error
    sys.exit(code)


def locust_command(name: str, options: Sequence[str]) -> list[str]:
    """Locust with the scenario's file and where its reports go."""
    locust = Path(sys.executable).with_name("locust")
    if not locust.exists():
        raise click.ClickException("Locust is not installed: pip install 'tidegate[load]'")
    command = [str(locust), "--locustfile", str(SCENARIOS / f"{name}.py")]
    if _given(options, "--worker"):
        return command
    reports = REPORTS / name
    reports.mkdir(parents=True, exist_ok=True)
    command += ["--html", str(reports / "report.html"), "--csv", str(reports / "locust"), "--reports", str(reports)]
    return command if _given(options, "--web-", "-P") else [*command, "--headless"]


def _given(options: Sequence[str], *names: str) -> bool:
    """Whether one of these options is among the given ones, perhaps with its value."""
    return any(option.startswith(names) for option in options)


def _known_to(system: LocalSystem) -> Sequence[str]:
    """The options for a scenario against a system of our own: tokens are minted here, not created through its API."""
    keys = key_ring(settings())
    tokens = system.home / "shopper-tokens"
    tokens.write_text(
        "\n".join(mint(keys, f"shopper-{n}", [CUSTOMER], lifetime_seconds=TOKEN_SECONDS) for n in range(SHOPPERS))
    )
    watch = ",".join(f"{name}={system.pid(name)}" for name in processes.commands())
    admin = mint(keys, "load", [ADMIN], lifetime_seconds=TOKEN_SECONDS)
    return ("--host", system.url, "--token", admin, "--shopper-tokens", str(tokens), "--verify", "--watch", watch)
