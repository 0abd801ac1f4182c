"""The event log over HTTP."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from gateway.auth import Caller, require_role
from gateway.routes import API
from gateway.routes.documents import READ, edge_of
from gateway.views import log as views
from runtime.records import cloud_event

router = APIRouter(prefix=API, tags=["events"])

_SEQ_MAX = 2**63 - 1


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
    """Some events in order, and the seq of the last of them (or what was asked behind, if there are none)."""

    items: list[EventView]
    last_seq: int


@router.get("/events", response_model=EventsView, responses=READ)
async def list_events(
    request: Request,
    caller: Annotated[Caller, Depends(require_role("staff", "events:read"))],
    after: Annotated[int, Query(ge=0, le=_SEQ_MAX)] = 0,
    limit: Annotated[int, Query(ge=1)] = 100,
) -> Response:
    """The log behind `after`, in order. Staff only. `limit` is cut to the page's bound."""
    edge = edge_of(request)
    async with edge.engine.connect() as connection:
        records = await views.read(connection, after, min(limit, edge.config.events_page_max))
    document = {
        "items": [cloud_event(record) for record in records],
        "last_seq": records[-1].seq if records else after,
    }
    return Response(msgspec.json.encode(document), media_type="application/json")
