"""`tidegate restart`: has the running `tidegate up` restart its processes."""

import os
import time
from typing import Final

import click

from ops.home import holder, told_restarted
from ops.stopping import RESTART
from runtime.settings import settings

_POLL_SECONDS: Final = 0.1


@click.command()
def restart() -> None:
    """Restart the processes of the `tidegate up` that is running here, with the code as it is now: one after another,
    each ended when a new one is ready to go on. Nobody is turned away meanwhile; Postgres and Redis are left alone.

    Settings are those that `tidegate up` was started with. SIGUSR1 to its process does the same.
    """
    home = settings().home.resolve()
    running = holder(home)
    if running is None:
        raise click.ClickException(f"no `tidegate up` is running in {home}")
    told_restarted(home)
    os.kill(running, RESTART)
    while (trouble := told_restarted(home)) is None:
        if holder(home) != running:
            raise click.ClickException("`tidegate up` ended meanwhile")
        time.sleep(_POLL_SECONDS)
    if trouble:
        raise click.ClickException(trouble)
    click.echo("Restarted.")
