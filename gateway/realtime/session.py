"""One WebSocket of `/ws`: its caller, its subscriptions, and its messages. Every subscription is guaranteed its part of
the log, once and in order; otherwise the socket is closed with a code and the seq to resume from. A client's mistakes
are answered and counted, and do not affect others.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import msgspec

from gateway.identity.caller import Caller
from gateway.realtime import admission
from gateway.realtime.messages import (
    Authenticate,
    Authenticated,
    Error,
    Heartbeat,
    Ping,
    Pong,
    Said,
    Stats,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    decode,
    encode,
)
from gateway.realtime.packets import Form, events_message
from gateway.realtime.parts import Parts
from gateway.realtime.places import NoPlace, Place
from gateway.realtime.send_queue import Send, SendQueue
from gateway.realtime.statistics.figures import Figures
from gateway.realtime.subscriptions import Subscriptions
from gateway.realtime.topics import TopicRefused
from gateway.realtime.turns import TooManyReplays
from gateway.server.closing import (
    BAD_REQUEST,
    FORBIDDEN,
    NOT_THIS_LOG,
    TOO_MANY_MESSAGES,
    TOO_SLOW,
    TRY_LATER,
    UNAUTHENTICATED,
    Closing,
)
from gateway.server.rate import Allowance
from gateway.views.log import NotThisLog
from gateway.web.problems import Problem
from runtime.engine import VIEW_FAILED
from runtime.metrics import FEED_RESUMES

# This many invalid messages are answered; one more ends the socket.
MISTAKES_MAX: Final = 20
_LATEST_TIMER_SECONDS: Final = 30 * 86_400.0


class Session:
    """The protocol of one socket. `send` sends a text frame; `end` is called once, when `closing` is set to how it
    ends."""

    def __init__(
        self, parts: Parts, caller: Caller | None, send: Send, end: Callable[[], object], place: Place
    ) -> None:
        self.place = place
        place.give_up = self._give_up
        self._parts = parts
        self._config = parts.config
        self._caller = caller
        self._on_end = end
        self.closing: Closing | None = None
        self._queue = SendQueue(
            send,
            self._cannot_send,
            self._form(),
            max_events=self._config.socket_queue_max_events,
            max_bytes=self._config.socket_queue_max_bytes,
        )
        self._subscriptions = Subscriptions(parts, self._queue, self, self._end)
        self._first: Subscribe | None = None
        self._allowance = Allowance(self._config.socket_messages_per_second, self._config.socket_messages_burst)
        self._mistakes = 0
        self._expiry: asyncio.TimerHandle | None = None
        self._watch_expiry()

    def _form(self) -> Form:
        """The form that events are written in."""
        return events_message

    @property
    def caller(self) -> Caller | None:
        """The caller, once known."""
        return self._caller

    @property
    def seq(self) -> int:
        """Every event of every subscription up to this seq is sent, or is in the send queue."""
        return self._subscriptions.seq

    async def begin(self, first: Subscribe) -> None:
        """Begins the subscription that the request itself asks for, once the caller is known."""
        if self._caller is None:
            self._first = first
        else:
            await self.subscribe(first)

    async def hear(self, text: str | bytes) -> None:
        """Handles one message from the client, once the client has read enough of the answers to earlier ones."""
        if self._queue.crowded:
            await self._queue.flushed()
        if not self._allowance.take():
            self._end(Closing(TOO_MANY_MESSAGES, "too many messages"))
            return
        try:
            said = decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._mistakes += 1
            self._tell(Error("invalid_message", str(error)[:200]))
            if self._mistakes > MISTAKES_MAX:
                self._end(Closing(BAD_REQUEST, "too many invalid messages"))
            return
        if self._caller is None and not isinstance(said, Authenticate):
            self._end(Closing(UNAUTHENTICATED, "unauthenticated"))
            return
        await self._obey(said)

    async def _obey(self, said: Said) -> None:
        if isinstance(said, Ping):
            self._tell(Pong(self.seq, said.id))
        elif isinstance(said, Authenticate):
            await self._authenticate(said)
        elif isinstance(said, Unsubscribe):
            self._unsubscribe(said)
        else:
            await self.subscribe(said)

    async def _authenticate(self, said: Authenticate) -> None:
        try:
            caller = await self._parts.authenticator.authenticate(said.token)
        except Problem as problem:
            if self._caller is None:
                self._end(Closing(FORBIDDEN if problem.code == "forbidden" else UNAUTHENTICATED, problem.code))
            else:
                self._tell(Error(problem.code, problem.detail, said.id))
            return
        except VIEW_FAILED:
            self._end(Closing(TRY_LATER, "database_unavailable"))
            return
        if self._caller is None:
            try:
                self._parts.places.name(self.place, caller)
            except NoPlace as full:
                self._end(Closing(TRY_LATER, str(full)))
                return
        elif caller.actor != self._caller.actor:
            self._tell(Error("forbidden", "The token is for another principal: open another socket.", said.id))
            return
        elif not caller.actor.scopes.issuperset(self._caller.actor.scopes):
            self._tell(Error("forbidden", "The token allows less than the previous one: open another socket.", said.id))
            return
        self._caller = caller
        self._watch_expiry()
        expires_at = caller.expires_at if caller.expires_at < float("inf") else None
        self._tell(Authenticated(caller.actor.principal, caller.actor.role, expires_at, said.id))
        if self._first is not None:
            first, self._first = self._first, None
            await self.subscribe(first)

    async def subscribe(self, said: Subscribe) -> None:
        """Begins a subscription, or answers why not."""
        assert self._caller is not None
        name = said.subscription or ",".join(sorted(set(said.topics)))
        try:
            self._subscriptions.check_room(name, said.topics)
            addresses = await admission.addresses(self._parts.engine, self._caller, said.topics)
        except TopicRefused as refused:
            self._tell(Error(refused.code, str(refused), said.id))
            return
        hub = self._parts.hub
        await hub.ready()
        try:
            if said.after != "now":
                await self._parts.tail.check_place(said.after, said.log)
        except NotThisLog as error:
            identity = str(error.state.branches.identity)
            self._tell(Error(error.code, str(error), said.id, error.state.last_seq, identity, error.first_seq))
            return
        except VIEW_FAILED:
            FEED_RESUMES.labels("unavailable").inc()
            self._tell(Error("database_unavailable", "The log cannot be read now; try again.", said.id))
            return
        after = hub.seq if said.after == "now" else said.after
        try:
            self._subscriptions.add(name, addresses, after, self._caller.actor.principal)
        except TooManyReplays as full:
            FEED_RESUMES.labels("too_many_replays").inc()
            self._tell(Error("too_many_replays", str(full), said.id))
            return
        if said.after != "now" and after >= hub.seq:
            FEED_RESUMES.labels("level").inc()
        self._tell(Subscribed(name, said.topics, after, said.id, str(self._parts.tail.branches.identity)))
        self._subscriptions.start(name)

    def _unsubscribe(self, said: Unsubscribe) -> None:
        name = said.subscription
        if name not in self._subscriptions:
            self._tell(Error("no_such_subscription", f"There is no subscription `{name[:100]}`.", said.id))
            return
        self._subscriptions.remove(name)
        self._tell(Unsubscribed(name, said.id))

    def heartbeat(self) -> None:
        """Sends a heartbeat with how far it has come."""
        if self._subscriptions:
            seq = self.seq
            self._queue.notify(encode(Heartbeat(seq)), seq, self._subscriptions.lanes)

    def tell_stats(self, name: str, stats: Figures) -> None:
        """Sends this second's figures to a subscription to `stats`; a slow one misses some."""
        if self._queue.waiting <= self._config.socket_queue_max_events // 2:
            self._tell(Stats(name, stats))

    def resync(self) -> None:
        """The log has been replaced: the subscriptions' log no longer exists."""
        if self._subscriptions:
            self._end(Closing(NOT_THIS_LOG, "another_log"))

    def revoke(self) -> None:
        """Ends the socket: its token is no longer valid, or did not arrive in time."""
        self._end(Closing(UNAUTHENTICATED, "unauthenticated" if self._caller is None else "invalid_token"))

    def _give_up(self) -> None:
        """Ends the socket, because others need its place."""
        self._end(Closing(TRY_LATER, "too many sockets that have not authenticated"))

    def close(self) -> None:
        """Ends everything that belongs to the session."""
        self._leave()
        self._queue.close()

    async def flushed(self) -> None:
        """Returns when all messages are sent, or cannot be."""
        await self._queue.flushed()

    def _watch_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        if self._caller is None:
            seconds = self._config.socket_authenticate_seconds
        else:
            seconds = self._caller.expires_at - time.time()
        if seconds < _LATEST_TIMER_SECONDS:
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_later(max(0.0, seconds), self.revoke)

    def _tell(self, message: msgspec.Struct) -> None:
        self._queue.notify(encode(message))

    def _cannot_send(self) -> None:
        if self._queue.overflowed:
            self._end(Closing(TOO_SLOW, f"too slow; resume after {self._subscriptions.resume_from}"))
        else:
            self._end(Closing(None, "gone"))

    def _end(self, closing: Closing) -> None:
        """From here on, nothing is sent except what is queued, and the close."""
        if self.closing is None:
            self.closing = closing
            self._leave()
            self._queue.seal()
            self._on_end()

    def _leave(self) -> None:
        self._subscriptions.clear()
        if self._expiry is not None:
            self._expiry.cancel()
