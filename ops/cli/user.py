"""`tidegate user`: creates an account of any role (this is how the first admin is made), prints what is stored about a
person, and erases a person.
"""

import asyncio
import sys
import time
from typing import Final
from uuid import UUID

import asyncpg
import click
from sqlalchemy import select

from domain.accounts import CreateAccount
from domain.erasure import EraseAccount
from domain.fields.people import ACCOUNT_NAME, EMAIL, PASSWORD
from domain.ids import new_id
from domain.limits import ACCOUNT_NAME_MAX_CHARS
from domain.model import Actor, Command, Personal, Secret
from domain.roles import ACCOUNT_ROLES, CUSTOMER, STAFF
from ops.cli.values import taken
from runtime.database import asyncpg_dsn
from runtime.engine import create_engine
from runtime.entropy import random_bits
from runtime.mailboxes.sender import Sender, wait_for_outcomes
from runtime.passwords import hash_password
from runtime.personal_data import exported
from runtime.records import APPLIED
from runtime.settings import Settings, settings
from runtime.tables import accounts

_OPERATOR: Final = Actor.in_role("cli", STAFF)
_PATIENCE_SECONDS: Final = 10.0


@click.group(short_help="Create, export or erase an account.")
def user() -> None:
    """Create, export and erase accounts."""


@user.command()
@click.argument("email")
@click.option("--name", help="The person's name. [default: the address]")
@click.option("--role", type=click.Choice(ACCOUNT_ROLES), default=CUSTOMER, show_default=True, help="The role.")
def create(email: str, name: str | None, role: str) -> None:
    """Create an account for EMAIL, asking for its password, or reading it from standard input if that is not a
    terminal. Workers create it, so Tidegate must be running.
    """
    canonical = taken("EMAIL", EMAIL, email)
    shown = canonical[:ACCOUNT_NAME_MAX_CHARS] if name is None else taken("--name", ACCOUNT_NAME, name)
    password = taken("password", PASSWORD, _ask_for_password())
    account_id = new_id(time.time_ns() // 1_000_000, random_bits() >> 52, random_bits())
    command = CreateAccount(account_id, Personal(canonical), Personal(shown), role, Secret(hash_password(password)))
    refused = asyncio.run(_done(settings(), command))
    if refused is not None:
        raise click.ClickException(refused)
    click.echo(f"{canonical} can sign in, as {role}.")


@user.command()
@click.argument("email")
def export(email: str) -> None:
    """Print what is stored about the person who signs in as EMAIL, as JSON: the account, its sessions and its
    orders."""
    known = asyncio.run(_known(settings(), taken("EMAIL", EMAIL, email)))
    if known is None:
        raise click.ClickException("there is no account with this address")
    click.echo(known.decode())


@user.command()
@click.argument("email")
@click.confirmation_option(prompt="Name, addresses and password will be deleted for good. Erase the account?")
def erase(email: str) -> None:
    """Erase the person who signs in as EMAIL: name, addresses and password are deleted, sessions end, orders stay.
    Workers do this, so Tidegate must be running.
    """
    refused = asyncio.run(_erase(settings(), taken("EMAIL", EMAIL, email)))
    if refused is not None:
        raise click.ClickException(refused)
    click.echo("The account is erased.")


def _ask_for_password() -> str:
    if sys.stdin.isatty():
        asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return asked
    return sys.stdin.readline().rstrip("\r\n")


async def _done(config: Settings, command: Command) -> str | None:
    """Posts the command and waits for its outcome; returns why it failed, or None if it did not."""
    async with (
        Sender(config) as sender,
        asyncpg.create_pool(asyncpg_dsn(config.database_url), min_size=0, max_size=1) as pool,
    ):
        command_id = await sender.send(command, _OPERATOR, patience_seconds=_PATIENCE_SECONDS)
        outcome = (await wait_for_outcomes(pool, [command_id])).get(command_id)
    if outcome is None:
        return "no worker has applied it yet; when one runs, it will be done"
    return None if outcome.status == APPLIED else (outcome.detail or outcome.status).rstrip(".")


async def _known(config: Settings, email: str) -> bytes | None:
    engine = create_engine(config.database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            account_id = await connection.scalar(select(accounts.c.id).where(accounts.c.email == email))
            return None if account_id is None else await exported(connection, account_id)
    finally:
        await engine.dispose()


async def _erase(config: Settings, email: str) -> str | None:
    """Posts the command and waits for its outcome; returns why it failed, or None if it did not."""
    engine = create_engine(config.database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            account_id = await connection.scalar(select(accounts.c.id).where(accounts.c.email == email))
    finally:
        await engine.dispose()
    if account_id is None:
        return "there is no account with this address"
    return await _done(config, EraseAccount(UUID(str(account_id))))
