"""Subscriptions without a protocol: the request says what to send, and the client sends nothing more.
`/ws/notifications` is everything about the signed-in customer, each frame a JSON array of CloudEvents; the event stream
of `/api/v1/events/stream` is the same for any topics, as server-sent events.
"""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.realtime.messages import Error, Subscribed
from gateway.realtime.packets import Form, array, event_id, server_sent
from gateway.realtime.session import Session
from gateway.server.closing import FORBIDDEN, NOT_THIS_LOG, STOPPING, TOO_MANY_MESSAGES, TRY_LATER, Closing

_CLOSES: Final = {
    "database_unavailable": TRY_LATER,
    "too_many_replays": TRY_LATER,
    "ahead_of_log": NOT_THIS_LOG,
    "another_log": NOT_THIS_LOG,
    "archived": NOT_THIS_LOG,
}


class Notifications(Session):
    """A socket that only receives events. Messages from its client are ignored."""

    def _form(self) -> Form:
        return array

    async def hear(self, text: str | bytes) -> None:
        if not self._allowance.take():
            self._end(Closing(TOO_MANY_MESSAGES, "too many messages"))

    def heartbeat(self) -> None:
        pass

    def _tell(self, message: msgspec.Struct) -> None:
        if isinstance(message, Error):
            self._end(Closing(_CLOSES.get(message.code, FORBIDDEN), message.code))


class Stream(Notifications):
    """An event stream. Its heartbeats keep proxies from closing it, and are events without data: listeners are not
    called, but a browser resumes from there."""

    def _form(self) -> Form:
        return server_sent(self._parts.tail.branches.identity)

    def heartbeat(self) -> None:
        if self._subscriptions:
            self._tell_position(self.seq)

    def stop(self) -> None:
        """The gateway stops."""
        self._end(Closing(STOPPING, "the gateway stops"))

    def _tell(self, message: msgspec.Struct) -> None:
        if isinstance(message, Subscribed):
            self._tell_position(message.after)
        super()._tell(message)

    def _tell_position(self, seq: int) -> None:
        place = event_id(seq, self._parts.tail.branches.identity)
        self._queue.notify(f": heartbeat\nid: {place}\n\n", seq, self._subscriptions.lanes)
