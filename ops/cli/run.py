"""`tidegate run NAME`: one role of the Procfile, in place of this process. For containers and service managers, which
do the supervising and send the signals themselves.
"""

import os
from pathlib import Path
from typing import Final

import click

from ops.processes import commands, environment
from runtime.settings import settings

_SHELL: Final = "/bin/sh"


@click.command()
@click.argument("role", type=click.Choice(sorted(commands(sandbox=True))))
def run(role: str) -> None:
    """Run one ROLE in the foreground: gateway, worker, background or scheduler; or the sandbox.

    It becomes that process: signals reach it, and its exit code is the command's. DATABASE_URL and REDIS_URL name the
    servers; the roles of one machine share TIDEGATE_HOME, where they count for /metrics together.
    """
    config = settings()
    shared = environment(
        os.environ,
        database_url=config.database_url,
        redis_url=config.redis_url,
        host=config.host,
        port=config.port,
        home=config.home,
    )
    Path(shared["PROMETHEUS_MULTIPROC_DIR"]).mkdir(parents=True, exist_ok=True)
    os.chdir(shared["TIDEGATE_HOME"])  # has no modules: `python -m` imports from the working directory
    os.execve(_SHELL, [_SHELL, "-c", commands(sandbox=True)[role]], shared)  # noqa: S606 - a line of our own Procfile
