"""Narrow replays: the events about one principal, some orders or the catalogue, found by indexes in a long log.

The result contains all events that the topics' own filter lets through, and perhaps a few more: SQL narrows, and the
filter decides.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Text, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.views import log
from runtime.records import EventRecord
from runtime.tables.pipeline import AFTER_PLACING, OF_ACCOUNTS, OF_CATALOGUE, OF_COMMANDS, OF_SESSIONS


class Narrow(NamedTuple):
    """Whose events are wanted: those about a principal, about some orders, about the catalogue."""

    principal: str | None = None
    order_ids: tuple[UUID, ...] = ()
    catalogue: bool = False


class Page(NamedTuple):
    """Some events in order. All that is wanted up to `seq` is in it."""

    records: list[EventRecord]
    seq: int


_WITHIN: Final = "seq > :after AND seq <= :until ORDER BY seq"
_PLACED_WITHIN: Final = "placed_seq > :after AND placed_seq <= :until ORDER BY placed_seq LIMIT :most"

# OFFSET 0 keeps the planner from walking the log in order, in the hope of meeting the orders on the way.
_LATER: Final = f"""
    SELECT later.seq
    FROM (SELECT id::text AS subject FROM orders WHERE {{which}} AND placed_seq <= :until OFFSET 0) AS theirs
    CROSS JOIN LATERAL (
        SELECT seq FROM events WHERE {AFTER_PLACING} AND subject = theirs.subject AND {_WITHIN} OFFSET 0
    ) AS later
    ORDER BY later.seq LIMIT :most
"""  # noqa: S608
_OF_PRINCIPAL: Final = (
    f"SELECT placed_seq AS seq FROM orders WHERE customer_id = :principal AND {_PLACED_WITHIN}",  # noqa: S608
    _LATER.format(which="customer_id = :principal"),
    f"SELECT seq FROM events WHERE {OF_ACCOUNTS} AND subject = :principal AND {_WITHIN} LIMIT :most",  # noqa: S608
    f"SELECT seq FROM events WHERE {OF_SESSIONS} AND data->>'account_id' = :principal AND {_WITHIN} LIMIT :most",  # noqa: S608
    f"SELECT seq FROM events WHERE {OF_COMMANDS} AND actor = :principal AND {_WITHIN} LIMIT :most",  # noqa: S608
)
_OF_ORDERS: Final = (
    f"SELECT placed_seq AS seq FROM orders WHERE id = ANY(:order_ids) AND {_PLACED_WITHIN}",  # noqa: S608
    _LATER.format(which="id = ANY(:order_ids)"),
)
_OF_CATALOGUE: Final = (f"SELECT seq FROM events WHERE {OF_CATALOGUE} AND {_WITHIN} LIMIT :most",)  # noqa: S608

_TYPES: Final[dict[str, Any]] = {
    "after": BigInteger,
    "until": BigInteger,
    "most": BigInteger,
    "principal": Text,
    "order_ids": ARRAY(Uuid),
}


async def read(connection: AsyncConnection, wanted: Narrow, after: int, until: int, limit: int) -> Page:
    """Up to `limit` of the wanted events after `after`, not beyond `until`. Every event up to `until` is committed."""
    parts: list[str] = []
    values: dict[str, Any] = {"after": after, "until": until, "most": limit}
    if wanted.principal is not None:
        parts += _OF_PRINCIPAL
        values["principal"] = wanted.principal
    if wanted.order_ids:
        parts += _OF_ORDERS
        values["order_ids"] = list(wanted.order_ids)
    if wanted.catalogue:
        parts += _OF_CATALOGUE
    if not parts:
        return Page([], until)
    found = " UNION ".join(f"({part})" for part in parts)
    query = text(f"SELECT seq FROM ({found}) AS found ORDER BY seq LIMIT :most").bindparams(  # noqa: S608 - ours
        *(bindparam(name, type_=_TYPES[name]) for name in values)
    )
    seqs = list((await connection.scalars(query, values)).all())
    records = await log.read_some(connection, seqs) if seqs else []
    return Page(records, seqs[-1] if len(seqs) == limit else until)
