"""The shop's terms: as staff see them, and as quotes need them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec
from pydantic import BaseModel
from sqlalchemy import RowMapping, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.model import Entity
from domain.quote.terms import Terms
from domain.terms import KINDS, TermsPart
from gateway.web.rawjson import as_text
from runtime.entities import TERMS, table_of
from runtime.tables import guards, log_branches
from runtime.tables import terms as table
from runtime.terms import TermsMemory


class TermsPartView(BaseModel):
    """A part of the terms: what it says is in the member of its kind."""

    name: str
    taxes: dict[str, Any] | None = None
    method: dict[str, Any] | None = None
    promotion: dict[str, Any] | None = None
    price_list: dict[str, Any] | None = None
    purchase_limit: dict[str, Any] | None = None
    version: int
    created_at: datetime
    updated_at: datetime


class TermsView(BaseModel):
    """All parts, by name; their number is bounded, so there are no pages."""

    items: list[TermsPartView]


_COLUMNS = [as_text(column).label(column.name) if isinstance(column.type, JSONB) else column for column in table.c]
STANDING: Final = (
    select(log_branches.c.identity)
    .order_by(log_branches.c.number.desc())
    .limit(1)
    .scalar_subquery()
    .label("log_identity"),
    func.coalesce(select(guards.c.seq).where(guards.c.name == TERMS).scalar_subquery(), 0).label("terms_seq"),
)
"""Columns for a query whose row is to say as of when it is: the log, and the seq at which its terms changed last."""
_NOW: Final = select(*STANDING)
_PARTS: Final = select(*_COLUMNS)


async def list_all(connection: AsyncConnection) -> TermsView:
    """What the shop says now."""
    rows = (await connection.execute(_PARTS.order_by(table.c.name))).mappings()
    return TermsView(items=[_view(dict(row)) for row in rows if any(row[kind] is not None for kind in KINDS)])


async def find(connection: AsyncConnection, name: str) -> TermsPartView | None:
    """The part of this name, if it says anything."""
    row = (await connection.execute(_PARTS.where(table.c.name == name))).mappings().one_or_none()
    return None if row is None or all(row[kind] is None for kind in KINDS) else _view(dict(row))


def _view(row: dict[str, Any]) -> TermsPartView:
    said = {kind: None if row[kind] is None else msgspec.json.decode(row[kind]) for kind in KINDS}
    return TermsPartView(**{**row, **said})


async def now(connection: AsyncConnection, memory: TermsMemory) -> Terms:
    """The terms that a command would be decided on now."""
    return await standing_in((await connection.execute(_NOW)).mappings().one(), connection, memory)


async def standing_in(row: RowMapping, connection: AsyncConnection, memory: TermsMemory) -> Terms:
    """The terms as of a row that was read with STANDING."""

    async def read() -> list[Entity]:
        rows = (await connection.execute(_PARTS)).mappings()
        return [table_of(TermsPart).read(dict(row)) for row in rows]

    return await memory.at(row["log_identity"], row["terms_seq"], read)
