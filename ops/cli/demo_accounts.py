"""The demo's accounts, created like any other; in development only."""

import time
from typing import Any

import asyncpg

from domain.accounts import CreateAccount
from domain.ids import new_id, slot_of_key
from domain.model import Actor, Personal, Secret
from ops.demo_people import DEMO_ACCOUNTS
from runtime.entropy import random_bits
from runtime.mailboxes.sender import Sender
from runtime.passwords import hash_password


async def post_demo_accounts(
    connection: "asyncpg.Connection[Any]", sender: Sender, actor: Actor, *, patience_seconds: float
) -> int:
    """Posts those that do not exist; returns how many. Idempotency keys make repeated loading harmless."""
    emails = [account.email for account in DEMO_ACCOUNTS]
    rows = await connection.fetch("SELECT email FROM accounts WHERE email = ANY($1)", emails)
    missing = [account for account in DEMO_ACCOUNTS if account.email not in {row["email"] for row in rows}]
    for account in missing:
        key = f"demo:{account.email}"
        account_id = new_id(time.time_ns() // 1_000_000, slot_of_key(key), random_bits())
        password_hash = Secret(hash_password(account.password))
        command = CreateAccount(
            account_id, Personal(account.email), Personal(account.name), account.role, password_hash
        )
        await sender.send(command, actor, key=key, patience_seconds=patience_seconds)
    return len(missing)
