"""The feed as server-sent events: what `/ws` sends, for clients that only listen (WHATWG HTML, 9.2)."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any, ClassVar, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.types import Receive, Scope, Send

from gateway.apidocs.responses import problems
from gateway.edge import Edge, edge_of
from gateway.identity.caller import Caller
from gateway.identity.requirements import TOKEN_IN_QUERY, require_role
from gateway.realtime import admission
from gateway.realtime.messages import TOPICS_MAX, Subscribe
from gateway.realtime.places import NoPlace, Place
from gateway.realtime.plain import Stream
from gateway.realtime.sockets import count_end, ended, host_of, interrupting
from gateway.realtime.topics import STATS, TopicRefused
from gateway.routes.log import LOG_DESCRIPTION, not_this_log
from gateway.server.closing import Closing
from gateway.server.http1 import CONNECTION, BoundedHttp
from gateway.views.log import NotThisLog
from gateway.web import API
from gateway.web.problems import Problem, invalid_request

router = APIRouter(prefix=API, tags=["events"])

_MEDIA_TYPE: Final = "text/event-stream"
_PLACE: Final = re.compile("([0-9]{1,18})(?:@([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))?")
_SEQ_MAX: Final = 10**18 - 1

_LAST_EVENT_ID: Final[dict[str, Any]] = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The `id` of the last event received, as browsers send it when they reconnect: the stream continues"
    " after that event, whatever `after` says.",
    "schema": {
        "type": "string",
        "pattern": f"^{_PLACE.pattern}$",
        "examples": ["1041", "1041@6e8bc430-9c3a-4d9c-8f0e-0c9b5a6d1f27"],
    },
}

# How long a browser waits until it comes back. A gateway that is started anew takes about so long.
_RETRY_MILLISECONDS: Final = 2_000

# How long a reader has to take the end of its stream.
_END_SECONDS: Final = 1.0

_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Events as they happen: `id` is the seq, `@` and the log's identity; `data` is a CloudEvent."
        " Comments tell how far the stream has come.",
        "content": {_MEDIA_TYPE: {"schema": {"type": "string"}}},
    },
    **problems(401, 403, 404, 422, 503, "ahead_of_log", "another_log", "archived"),
}


class EventStream(Response):
    """A response that goes on until either side ends it."""

    endless: ClassVar = True
    media_type = _MEDIA_TYPE

    def __init__(self, edge: Edge, caller: Caller, first: Subscribe, place: Place) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._edge = edge
        self._caller = caller
        self._first = first
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection: BoundedHttp = scope[CONNECTION]

        async def send_text(text: str) -> None:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

        stream = Stream(self._edge.sockets.parts, self._caller, send_text, interrupting(), self._place)
        connection.at_shutdown = stream.stop
        with self._edge.sockets.counted(stream):
            try:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await send_text(f"retry: {_RETRY_MILLISECONDS}\n\n")
                await self._serve(stream, receive)
                closing = stream.closing or Closing(None, "gone")
            except asyncio.CancelledError:
                closing = ended(stream)
            finally:
                connection.at_shutdown = None
                stream.close()
        count_end(closing)
        try:
            async with asyncio.timeout(0 if closing.code is None else _END_SECONDS):
                await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            connection.cut()
            await _gone(receive)

    async def _serve(self, stream: Stream, receive: Receive) -> None:
        if not self._edge.authenticator.stands(self._caller):
            stream.revoke()
        else:
            await stream.begin(self._first)
        if stream.closing is None:
            await _gone(receive)


async def _gone(receive: Receive) -> None:
    """Returns when there is nobody any more."""
    while (await receive())["type"] != "http.disconnect":
        pass


@router.get(
    "/events/stream",
    status_code=200,
    response_class=EventStream,
    responses=_ANSWERS,
    openapi_extra={"parameters": [_LAST_EVENT_ID]},
)
async def stream_events(
    request: Request,
    caller: Annotated[Caller, Depends(require_role("guest", also_in_query=True))],
    topics: Annotated[
        str, Query(max_length=4_000, description="Topics, separated by commas.", examples=["orders,inventory"])
    ],
    after: Annotated[
        int | None, Query(ge=0, le=_SEQ_MAX, description="The seq after which to start; without it, from now on.")
    ] = None,
    log: Annotated[UUID | None, Query(description=LOG_DESCRIPTION)] = None,
    token: Annotated[
        str | None,
        Query(
            alias=TOKEN_IN_QUERY,
            description="A bearer token, for a browser's EventSource, which cannot send an Authorization header. Use"
            " the header if you can: URLs end up in browser histories and proxy logs.",
        ),
    ] = None,
) -> Response:
    """The events of some topics (those of `/ws`, except `stats`), after `after`, after the `Last-Event-ID` that a
    browser sends when it reconnects, or from now on."""
    edge = edge_of(request)
    asked = topics.split(",")
    if len(asked) > TOPICS_MAX or STATS in asked:
        raise _invalid("topics", f"At most {TOPICS_MAX} topics, and not `{STATS}`.")
    last_event_id = request.headers.get("last-event-id")
    if last_event_id is not None:
        known = _PLACE.fullmatch(last_event_id)
        if known is None:
            raise _invalid("Last-Event-ID", "This is not a position in the log.")
        after = int(known[1])
        log = UUID(known[2]) if known[2] else None
    try:
        await admission.addresses(edge.engine, caller, asked)
    except TopicRefused as refused:
        if refused.code == "unknown_topic":
            raise _invalid("topics", str(refused)) from None
        raise Problem(refused.code, str(refused)) from None
    await edge.hub.ready()
    if after is not None:
        try:
            await edge.tail.check_place(after, log)
        except NotThisLog as error:
            raise not_this_log(error) from None
    try:
        place = edge.sockets.parts.places.take(caller, host_of(request.scope))
    except NoPlace as full:
        raise Problem("gateway_busy", f"{str(full).capitalize()}; streams count as well.") from None
    return EventStream(edge, caller, Subscribe(asked, "now" if after is None else after, log=log), place)


def _invalid(field: str, message: str) -> Problem:
    return invalid_request([{"loc": ("query", field), "msg": message, "type": "topic_invalid"}])
