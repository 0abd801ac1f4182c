"""`tidegate user create`: an account of any role, put in as any other; the first admin comes in by this door."""

import asyncio
import sys
import time
from typing import Final

import asyncpg
import click

from domain.accounts import CreateAccount
from domain.fields.people import ACCOUNT_NAME, EMAIL, PASSWORD
from domain.ids import new_id
from domain.limits import ACCOUNT_NAME_MAX_CHARS
from domain.model import Personal, Secret, Who
from domain.roles import ACCOUNT_ROLES, CUSTOMER
from runtime.cli.values import taken
from runtime.database import asyncpg_dsn
from runtime.entropy import random_bits
from runtime.mailboxes.sender import Sender, wait_for_outcomes
from runtime.passwords import hash_password
from runtime.records import APPLIED
from runtime.settings import Settings, settings

_OPERATOR: Final = Who("cli", staff=True)
_PATIENCE_SECONDS: Final = 10.0


@click.group(short_help="Accounts: make one.")
def user() -> None:
    """Accounts of people who sign in."""


@user.command()
@click.argument("email")
@click.option("--name", help="What to call them.  [default: the address]")
@click.option("--role", type=click.Choice(ACCOUNT_ROLES), default=CUSTOMER, show_default=True, help="What they may do.")
def create(email: str, name: str | None, role: str) -> None:
    """Make an account for EMAIL, and ask for its password; or read that from the standard input, if it is no terminal.

    It is made by the workers, so Tidegate must be running.
    """
    canonical = taken("EMAIL", EMAIL, email)
    shown = canonical[:ACCOUNT_NAME_MAX_CHARS] if name is None else taken("--name", ACCOUNT_NAME, name)
    password = taken("password", PASSWORD, _ask_for_password())
    account_id = new_id(time.time_ns() // 1_000_000, random_bits() >> 52, random_bits())
    command = CreateAccount(account_id, Personal(canonical), Personal(shown), role, Secret(hash_password(password)))
    refused = asyncio.run(_create(settings(), command))
    if refused is not None:
        raise click.ClickException(refused)
    click.echo(f"{canonical} can sign in, as {role}.")


def _ask_for_password() -> str:
    if sys.stdin.isatty():
        asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return asked
    return sys.stdin.readline().rstrip("\r\n")


async def _create(config: Settings, command: CreateAccount) -> str | None:
    """Posts the command and waits for it; returns why there is no account, if so."""
    async with (
        Sender(config) as sender,
        asyncpg.create_pool(asyncpg_dsn(config.database_url), min_size=0, max_size=1) as pool,
    ):
        command_id = await sender.send(command, _OPERATOR, patience_seconds=_PATIENCE_SECONDS)
        outcome = (await wait_for_outcomes(pool, [command_id])).get(command_id)
    if outcome is None:
        return "no worker has applied it yet; when one runs, it will be there"
    return None if outcome.status == APPLIED else (outcome.detail or outcome.status).rstrip(".")
