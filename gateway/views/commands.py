"""Commands as their principals may follow them, and the dead letters as staff see them."""

import base64
import re
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from pydantic import BaseModel
from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.web.pages import Page, decode_cursor, page_of
from gateway.web.rawjson import as_text
from runtime.envelope import read_request
from runtime.records import ACCEPTED, as_of_today, microseconds, moment
from runtime.tables import commands, dead_letters, events, log_start

# When (microseconds of Unix time), in which mailbox, and the entry's id: all within what their columns hold.
_PLACE = re.compile(r"([0-9]{1,16}) ([0-9]{1,4}) ([0-9]{1,20}-[0-9]{1,20})")


class CommandView(BaseModel):
    """A command: who asked for what, when it was accepted and applied, and its outcome.

    `status` is accepted (it waits in its mailbox), applied, rejected, failed, or repeated (an earlier command had the
    same idempotency key). `outcome` is the data of the event at `seq`: what was done, or why not.
    """

    id: UUID
    type: str
    status: str
    principal: str
    accepted_at: datetime
    applied_at: datetime | None = None
    seq: int | None = None
    subject: str | None = None
    request: dict[str, Any]
    outcome: dict[str, Any] | None = None


class DeadLetterView(BaseModel):
    """An entry that could not be applied. `entry` is the mailbox entry, base64, without secret or personal data: sent
    again, its command would lack the fields listed in `lost`, where `*` stands for the whole of an unreadable entry
    that has been erased."""

    mailbox: int
    entry_id: str
    command_id: UUID | None
    code: str
    detail: str
    entry: str
    lost: list[str]
    failed_at: datetime


class Archived(Exception):
    """If there was a command with that id, its outcome has been archived."""


async def find(connection: AsyncConnection, owner: str | None, command_id: UUID) -> CommandView | None:
    """The command, if it is applied and `owner` (None: anybody) asked for it. Raises Archived."""
    query = (
        select(
            commands,
            events.c.subject,
            events.c.type.label("event_type"),
            events.c.version.label("event_version"),
            as_text(events.c.data).label("data"),
        )
        .join_from(commands, events, events.c.seq == commands.c.seq, isouter=True)
        .where(commands.c.id == command_id)
    )
    row = (await connection.execute(query)).first()
    if row is None or owner not in (None, row.principal):
        return None
    if row.event_type is None:
        raise Archived
    return CommandView(
        id=row.id,
        type=row.type,
        status=row.status,
        principal=row.principal,
        accepted_at=row.accepted_at,
        applied_at=row.applied_at,
        seq=row.seq,
        subject=row.subject,
        request=_request(row.request),
        outcome=_outcome(as_of_today(row.event_type, row.event_version, row.data)),
    )


async def check_not_archived(connection: AsyncConnection, command_id: UUID) -> None:
    """Raises Archived for an id that is not known, and is from before what the database has."""
    if (await connection.execute(select(log_start.c.commands_since > command_id))).scalar_one():
        raise Archived


def _outcome(data: str | msgspec.Raw) -> dict[str, Any]:
    """The data of an event. The particulars of a refusal are its own members here, as they are in its problem."""
    said: dict[str, Any] = msgspec.json.decode(data)
    return {**said.get("particulars", {}), **said}


def waiting(command_id: UUID, command_type: str, principal: str, accepted_at: datetime, request: bytes) -> CommandView:
    """A command that is accepted and not yet applied."""
    return CommandView(
        id=command_id,
        type=command_type,
        status=ACCEPTED,
        principal=principal,
        accepted_at=accepted_at,
        request=_request(request),
    )


def _request(entry: bytes) -> dict[str, Any]:
    """The request; empty for an unreadable entry."""
    try:
        return read_request(entry)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return {}


async def list_dead_letters(connection: AsyncConnection, cursor: str | None, limit: int) -> Page[DeadLetterView]:
    """Dead letters, newest first. They are few: a page is sorted out of all of them."""
    place = tuple_(dead_letters.c.failed_at, dead_letters.c.mailbox, dead_letters.c.entry_id)
    query = select(dead_letters).order_by(place.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(place < decode_cursor(cursor, _place))
    rows = await connection.execute(query)
    found = [DeadLetterView(**{**row, "entry": base64.b64encode(row["entry"]).decode()}) for row in rows.mappings()]
    return page_of(found, limit, lambda letter: f"{microseconds(letter.failed_at)} {letter.mailbox} {letter.entry_id}")


def _place(key: str) -> tuple[datetime, int, str]:
    found = _PLACE.fullmatch(key)
    if found is None:
        raise ValueError(f"{key!r} is no place of a dead letter")
    return moment(int(found[1])), int(found[2]), found[3]
