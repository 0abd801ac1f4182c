"""What customers buy as, for admins."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from runtime.tables import customers


class CustomerView(BaseModel):
    """What the owner of an account buys as."""

    id: UUID
    groups: list[str]
    tax_id: str | None
    tax_exempt: bool
    created_at: datetime
    updated_at: datetime


async def find(connection: AsyncConnection, account_id: UUID) -> CustomerView | None:
    """The terms set for the account, if any."""
    query = select(*(customers.c[name] for name in CustomerView.model_fields)).where(customers.c.id == account_id)
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else CustomerView(**row)
