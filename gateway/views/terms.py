"""The shop's terms: as staff see them, and as quotes need them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from pydantic import BaseModel
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.model import Entity
from domain.quote.terms import Terms
from domain.terms import KINDS, TermsPart
from gateway.web.rawjson import as_text
from runtime.entities import TERMS, table_of
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
_SEQ = text("""
    SELECT (SELECT identity FROM log_branches ORDER BY number DESC LIMIT 1) AS identity,
        coalesce((SELECT seq FROM guards WHERE name = :name), 0) AS seq
""")


async def list_all(connection: AsyncConnection) -> TermsView:
    """What the shop says now."""
    rows = (await connection.execute(select(*_COLUMNS).order_by(table.c.name))).mappings()
    return TermsView(items=[_view(dict(row)) for row in rows if any(row[kind] is not None for kind in KINDS)])


async def find(connection: AsyncConnection, name: str) -> TermsPartView | None:
    """The part of this name, if it says anything."""
    row = (await connection.execute(select(*_COLUMNS).where(table.c.name == name))).mappings().one_or_none()
    return None if row is None or all(row[kind] is None for kind in KINDS) else _view(dict(row))


def _view(row: dict[str, Any]) -> TermsPartView:
    said = {kind: None if row[kind] is None else msgspec.json.decode(row[kind]) for kind in KINDS}
    return TermsPartView(**{**row, **said})


async def now(connection: AsyncConnection, memory: TermsMemory) -> Terms:
    """The terms that a command would be decided on now."""
    row = (await connection.execute(_SEQ, {"name": TERMS})).one()

    async def read() -> list[Entity]:
        rows = (await connection.execute(select(*_COLUMNS))).mappings()
        return [table_of(TermsPart).read(dict(row)) for row in rows]

    return await memory.at(row.identity, row.seq, read)
