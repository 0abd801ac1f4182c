"""`tidegate`: finds its subcommands by name among the installed entry points, and imports only the one that runs. So
the CLI need not import the packages above it, and a subcommand whose packages are not installed is still listed, with
what it lacks. Failures that are not bugs (an unreachable server, an invalid setting) are one line, not a traceback.
"""

import os
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import click

from ops.home import join_running

ENTRY_POINTS: Final = "tidegate.commands"


class Commands(click.Group):
    """A group whose members are entry points. Their names are known without importing any."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({entry.name for entry in entry_points(group=ENTRY_POINTS)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for entry in entry_points(group=ENTRY_POINTS, name=cmd_name):
            return _load(entry)
        return None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click ends quietly when the reader has gone (`tidegate export … | head`)
        except Exception as error:
            from ops.console.failures import explanation  # it knows the drivers, which take long to import

            reason = explanation(error)
            if reason is None:
                raise
            raise click.ClickException(reason) from error


def _load(entry: EntryPoint) -> click.Command:
    try:
        command = entry.load()
    except ModuleNotFoundError as error:
        return _unavailable(entry.name, str(error.name))
    assert isinstance(command, click.Command)
    return command


def _unavailable(name: str, module: str) -> click.Command:
    """Stands in for a command that cannot be imported here."""

    def refuse() -> None:
        raise click.ClickException(
            f"`tidegate {name}` needs the package {module}: pip install 'tidegate[embedded,load]'"
        )

    return click.Command(
        name,
        callback=refuse,
        help=f"Needs the package {module}, which is not installed.",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        add_help_option=False,
    )


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tidegate")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Tidegate: a realtime commerce backend that holds the door in a rush.

    Settings come from the environment; `python -m runtime.settings` prints them. While `tidegate up` runs, the other
    commands use its servers unless DATABASE_URL and REDIS_URL name others.
    """
    if ctx.invoked_subcommand != "up":
        join_running(os.environ)
