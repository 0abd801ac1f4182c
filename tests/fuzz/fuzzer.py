"""One pass of Schemathesis over the API of a running system, in one role; and what it left behind.

Its tokens belong to existing accounts but to no session, so that fuzzing the sign-out ends nothing.
"""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from tests import pace
from tests.system import System, eventually

ROLES: Final = ("customer", "admin")
SETTINGS: Final = {"TIDEGATE_WAIT_MAX_SECONDS": "5"}

_FOLDER: Final = Path(__file__).parent
_STOP_SECONDS: Final = 60.0
"""How much longer than asked a pass may take before it is ended, for the last request and the report."""


class Pass(NamedTuple):
    """How thorough a pass is: at most this many cases per operation and this many seconds, from this seed."""

    seed: int
    cases: int
    seconds: int
    phases: str = "examples,coverage,fuzzing,stateful"


def furnish(system: System) -> None:
    """Loads the demo's catalogue, stock and people into the system, and waits for them."""
    system.tidegate("demo")
    for role in ROLES:
        eventually(f"the demo's {role}", partial(_account, system, role), within_seconds=20)


def _account(system: System, role: str) -> str:
    """The id of the demo's account with this role, or an empty string."""
    return system.postgres.psql(f"SELECT id FROM accounts WHERE role = '{role}' ORDER BY created_at LIMIT 1")


def fuzz(system: System, role: str, wanted: Pass) -> tuple[bool, str]:
    """Whether this pass found no violation, and Schemathesis's report."""
    token = system.token(role, _account(system, role))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", _FOLDER / "schemathesis.toml"),
            *("run", f"{system.url}/api/openapi.json", "--no-color", "--continue-on-failure"),
            *("--header", f"Authorization: Bearer {token}", "--request-timeout", "20"),
            *("--exclude-operation-id", "stream_events"),  # its answer has no end
            *("--checks", "all", "--phases", wanted.phases, "--seed", str(wanted.seed)),
            *("--max-examples", str(wanted.cases), "--max-time", str(wanted.seconds)),
        ],
        env={**system.environment, "SCHEMATHESIS_HOOKS": "tests.fuzz.checks", "PYTHONPATH": str(_FOLDER.parents[1])},
        cwd=system.home,  # where it leaves its cases; deleted with the system
        capture_output=True,
        text=True,
        check=False,
        timeout=wanted.seconds + pace.seconds(_STOP_SECONDS),
    )
    return done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def left_behind(system: System) -> list[str]:
    """What no pass may leave behind: tracebacks, and tables that disagree with the log."""
    found = [f"The log of the {name} holds a traceback." for name in system.tracebacks()]
    code, said = system.verify()
    if code != 0:
        found.append(f"verify: {said}")
    return found
