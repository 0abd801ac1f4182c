"""Commands: what became of them, and those that were put aside."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from domain.disclosure import READS_ALL
from domain.ids import mailbox_of_slot, milliseconds_of, slot_of_id
from gateway.apidocs.responses import READ, headers, read
from gateway.edge import Edge, edge_of
from gateway.identity.caller import Caller
from gateway.identity.requirements import require_role
from gateway.views import commands as views
from gateway.views.commands import CommandView, DeadLetterView
from gateway.web import API
from gateway.web.pages import Page
from gateway.web.problems import Problem
from runtime import envelope as envelopes
from runtime.envelope import ENVELOPE_FIELD, UnreadableEntry
from runtime.mailboxes.inbox import entry_order
from runtime.records import moment
from runtime.redis_client import REDIS_UNAVAILABLE

router = APIRouter(prefix=API, tags=["commands"])

Asker = Annotated[Caller, Depends(require_role("guest"))]
Operator = Annotated[Caller, Depends(require_role("staff", READS_ALL))]

_LOOK_ENTRIES = 500

# An entry's own time is Redis's, and later than its command's by what the post took and the clocks differ.
_CLOCKS_APART_MS = 5_000
_POSTED_WITHIN_MS = 15_000


@router.get(
    "/commands/{command_id}",
    response_model=CommandView,
    responses={200: headers("Tidegate-Seq"), **read("archived")},
)
async def get_command(request: Request, caller: Asker, command_id: UUID) -> Response:
    """The status and outcome of one of your commands. Staff with the scope `events:read` see everyone's. An old one may
    be archived: 410."""
    edge = edge_of(request)
    reads_all = caller.actor.is_staff and READS_ALL in caller.actor.scopes
    owner = None if reads_all else caller.actor.principal
    command = await _applied(edge, owner, command_id) or await _waiting(edge, owner, command_id)
    if command is None:
        # It may have been applied between the two looks.
        command = await _applied(edge, owner, command_id)
    if command is None:
        await _check_not_archived(edge, command_id)
        raise Problem("not_found", "There is no such command.")
    said = {} if command.seq is None else {"Tidegate-Seq": str(command.seq)}
    return Response(command.model_dump_json(), 200, said, "application/json")


@router.get("/dead-letters", response_model=Page[DeadLetterView], responses=READ)
async def list_dead_letters(
    request: Request,
    caller: Operator,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1)] = 20,
) -> Response:
    """Entries that could not be applied, newest first. Staff only."""
    edge = edge_of(request)
    async with edge.engine.connect() as connection:
        page = await views.list_dead_letters(connection, cursor, min(limit, edge.config.page_max_rows))
    return Response(page.model_dump_json(), media_type="application/json")


async def _applied(edge: Edge, owner: str | None, command_id: UUID) -> CommandView | None:
    async with edge.engine.connect() as connection:
        try:
            return await views.find(connection, owner, command_id)
        except views.Archived:
            raise _archived() from None


async def _check_not_archived(edge: Edge, command_id: UUID) -> None:
    async with edge.engine.connect() as connection:
        try:
            await views.check_not_archived(connection, command_id)
        except views.Archived:
            raise _archived() from None


def _archived() -> Problem:
    return Problem("archived", "The outcome of so old a command has been archived.")


async def _waiting(edge: Edge, owner: str | None, command_id: UUID) -> CommandView | None:
    """Looks into the command's mailbox, which its id names, around the time that its id names. Entries are only decoded
    if they contain the id: in a rush, waiting clients ask again and again."""
    mailbox = mailbox_of_slot(slot_of_id(command_id), edge.config.mailbox_count)
    accepted_ms = milliseconds_of(command_id)
    position = f"{max(0, accepted_ms - _CLOCKS_APART_MS)}-0"
    wanted = str(command_id).encode()
    try:
        while entries := await edge.inbox.read(mailbox, position, _LOOK_ENTRIES):
            position = entries[-1].entry_id
            for entry in entries:
                if wanted not in entry.fields.get(ENVELOPE_FIELD, b""):
                    continue
                try:
                    envelope, command = envelopes.decode(entry.fields)
                except UnreadableEntry:
                    continue
                if envelope.command_id == command_id and owner in (None, envelope.principal):
                    return views.waiting(
                        command_id,
                        type(command).__name__,
                        envelope.principal,
                        moment(envelope.accepted_at),
                        entry.fields[ENVELOPE_FIELD],
                    )
            if entry_order(position)[0] > accepted_ms + _POSTED_WITHIN_MS:
                break
    except REDIS_UNAVAILABLE:
        raise Problem(
            "mailboxes_unavailable", "Whether the command is still waiting cannot be determined now."
        ) from None
    return None
