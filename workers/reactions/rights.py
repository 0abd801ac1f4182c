"""What a webhook may deliver now: what its owner was allowed when it was registered and is still allowed. Accounts and
API keys can lose rights, so they are checked at each delivery. A principal that is neither (an operator at the command
line, a token signed by another system) keeps the rights that its token had.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg

from domain.api_keys import PRINCIPAL_PREFIX
from domain.roles import SCOPES_OF_ROLE, is_staff
from domain.webhooks import Webhook
from runtime.settings import Settings


async def rights(pool: asyncpg.Pool[Any], webhook: Webhook, config: Settings) -> frozenset[str]:
    """Those of the scopes it was registered with that the endpoint's owner still has; none without an owner."""
    if webhook.owner is None or webhook.scopes is None:
        return frozenset()
    granted = frozenset(webhook.scopes)
    if webhook.owner.startswith(PRINCIPAL_PREFIX):
        row = await pool.fetchrow(
            "SELECT role, scopes, NOT revoked AND (NOT development OR $2) AS stands FROM api_keys WHERE id = $1",
            UUID(webhook.owner.removeprefix(PRINCIPAL_PREFIX)),
            config.mode == "development",
        )
        return granted & _of(row) & frozenset(row["scopes"]) if row is not None else frozenset()
    try:
        account_id = UUID(webhook.owner)
    except ValueError:
        return granted
    row = await pool.fetchrow(
        "SELECT role, active AND (NOT development OR $2) AS stands FROM accounts WHERE id = $1",
        account_id,
        config.mode == "development",
    )
    return granted if row is None else granted & _of(row)


def _of(row: asyncpg.Record) -> frozenset[str]:
    return SCOPES_OF_ROLE[row["role"]] if row["stands"] and is_staff(row["role"]) else frozenset()
