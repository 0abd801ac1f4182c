"""The event log over HTTP."""

from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from domain.disclosure import READS_ALL
from gateway.apidocs.responses import read
from gateway.edge import edge_of
from gateway.identity.caller import Caller
from gateway.identity.requirements import require_role
from gateway.views import log as views
from gateway.web import API
from gateway.web.problems import Problem
from runtime.records import cloud_event

router = APIRouter(prefix=API, tags=["events"])

_SEQ_MAX = 2**63 - 1

LOG_DESCRIPTION: Final = (
    "The log that the seq belongs to: the UUID in the `source` of its events. If the log has been replaced since"
    " (started afresh, or restored from a backup), the answer is 410 instead of other events with the same seqs."
)


class EventView(BaseModel):
    """An event in CloudEvents 1.0 form; `seq` is its place in the log, without gaps."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    seq: int
    commandid: str
    actor: str
    datacontenttype: str
    data: dict[str, Any]


class EventsView(BaseModel):
    """Events in order, the seq of the last of them (or the requested one, if there are none), and the identity of the
    `log` they belong to, to be sent back with the seq."""

    items: list[EventView]
    last_seq: int
    log: UUID


def not_this_log(error: views.NotThisLog) -> Problem:
    """The 410 Problem of a client that cannot go on from there."""
    state = error.state
    said: dict[str, int | str] = {"last_seq": state.last_seq, "log": str(state.branches.identity)}
    if error.first_seq is not None:
        said["first_seq"] = error.first_seq
    return Problem(error.code, str(error), extensions=said)


@router.get("/events", response_model=EventsView, responses=read("ahead_of_log", "another_log", "archived"))
async def list_events(
    request: Request,
    caller: Annotated[Caller, Depends(require_role("staff", READS_ALL))],
    after: Annotated[int, Query(ge=0, le=_SEQ_MAX)] = 0,
    limit: Annotated[int, Query(ge=1)] = 100,
    log: Annotated[UUID | None, Query(description=LOG_DESCRIPTION)] = None,
) -> Response:
    """The events after `after`, in order. Staff only. `limit` is capped at the maximum page size. If the events after
    `after` are archived, the response is 410, with the first that is not."""
    edge = edge_of(request)
    async with edge.engine.connect() as connection:
        # Read first: what is archived in between is not missed.
        records = await views.read(connection, after, min(limit, edge.config.events_page_max))
        state = await views.state(connection)
        try:
            views.check_place(state, after, log)
        except views.NotThisLog as error:
            raise not_this_log(error) from None
    document = {
        "items": [cloud_event(record, state.branches.source(record.seq)) for record in records],
        "last_seq": records[-1].seq if records else after,
        "log": state.branches.identity,
    }
    return Response(msgspec.json.encode(document), media_type="application/json")
