"""Subscribers: they follow topics over WebSocket, check each event as it arrives, and resume whenever they lose their
connection. A record keeps what each has seen (see `loadtests.frame.records`)."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

import gevent
import msgspec
from locust import User, task
from locust.exception import StopUser

from loadtests.frame.records import Record
from loadtests.frame.run import Run, the_run
from loadtests.frame.sockets import Socket, SocketClosed
from loadtests.frame.staff import NotPrepared
from loadtests.frame.verdict import Row

EVENTS: Final = Row("WS", "events, since they were decided")
SUBSCRIBE: Final = Row("WS", "subscribe")

SUBSCRIBERS: Final = "subscribers"
_TIMEOUT_SECONDS: Final = 60.0  # the gateway says something every 15
_GOODBYE_SECONDS: Final = 30.0
_AGAIN_SECONDS: Final = 0.2
_PAUSE_SECONDS: Final = 0.5
_GOODBYE: Final = b'{"type":"ping","id":"goodbye"}'


class _Event(msgspec.Struct):
    seq: int
    time: datetime


class _Told(msgspec.Struct):
    """The parts of a message that matter here, whatever its type."""

    type: str
    events: list[_Event] = []
    after: int = 0
    seq: int = 0
    log: str = ""
    id: str = ""
    code: str = ""
    detail: str = ""


_told: Final = msgspec.json.Decoder(_Told)


class Subscriber(User):
    """Follows one topic from its start until the run ends; resumes whenever its connection is lost."""

    abstract = True
    topic: ClassVar[str] = "log"

    def on_start(self) -> None:
        self.run_: Run = the_run()
        self._token = self.run_.staff()
        self._socket: Socket | None = None
        self._log = ""
        self.record = Record(self.topic)
        self._noted = False
        self._goodbye_until = 0.0
        self._cut = False
        self.run_.endings.append(self._say_goodbye)
        self.run_.tally(SUBSCRIBERS)

    def on_stop(self) -> None:
        if not self._noted:  # told to leave while the run goes on
            self._note()
        if self._socket is not None:
            self._socket.close()
        if self._say_goodbye in self.run_.endings:
            self.run_.endings.remove(self._say_goodbye)

    @task
    def follow(self) -> None:
        """Follows the topic; returns when the connection is lost."""
        try:
            self._connect()
            if self.run_.stopping.is_set():
                self._say_goodbye()
            while True:
                self._hear(self._receive())
        except (OSError, SocketClosed) as error:
            stopping, cut = self.run_.stopping.is_set(), self._cut
            if stopping and not cut:
                self._end(f"lost its connection at the end: {error}")
            if not cut:
                self.run_.tally(f"sockets closed: {getattr(error, 'code', type(error).__name__)}")
            if self._socket is not None:
                self._socket.close()
            self._socket = None
            gevent.sleep(_PAUSE_SECONDS * (0.5 + random.random()))
            if stopping:
                self.follow()  # Locust begins no further task of a user who is to stop

    def cut(self) -> bool:
        """Cuts the connection, as a network failure would; False if there is none."""
        if self._socket is None:
            return False
        self._cut = True
        self._socket.cut()
        return True

    def _connect(self) -> None:
        begun = time.perf_counter()
        self._cut = False
        try:
            self._socket = Socket(f"{self.host}/ws", self._token, timeout_seconds=_TIMEOUT_SECONDS)
            ask: dict[str, Any] = {"type": "subscribe", "topics": [self.topic], "subscription": "s", "after": "now"}
            if self._log:
                ask |= {"after": self.record.upto, "log": self._log}
            self._socket.send(msgspec.json.encode(ask))
            told = self._receive()
            if told.type != "subscribed":
                raise SocketClosed(0, f"{told.code}: {told.detail}")
        except (OSError, SocketClosed) as error:
            if not self._cut:
                self._fire(begun, error)
            raise
        self._fire(begun, None)
        if not self._log:
            self.record.begin(told.after)
        self._log = told.log

    def _receive(self) -> _Told:
        assert self._socket is not None
        return _told.decode(self._socket.receive())

    def _hear(self, told: _Told) -> None:
        if told.events:
            first = told.events[0]
            self.run_.time(EVENTS, max(0.0, (datetime.now(UTC) - first.time).total_seconds() * 1000))
            for event in told.events:
                self.record.see(event.seq)
        elif told.type == "heartbeat":
            self.record.upto = max(self.record.upto, told.seq)
        elif told.type == "pong":
            self.record.upto = max(self.record.upto, told.seq)
            if told.seq >= self.run_.seq:
                self._end()
            elif time.perf_counter() > self._goodbye_until:
                self._end(f"was told of events up to {told.seq}, but event {self.run_.seq} was answered to a client")
            else:
                gevent.sleep(_AGAIN_SECONDS)
                self._ping()
        elif told.type == "error":
            self.record.fault(f"was told {told.code}: {told.detail}")

    def _say_goodbye(self) -> None:
        """Asks for the current position; the answer arrives after all events up to there."""
        self._goodbye_until = time.perf_counter() + _GOODBYE_SECONDS
        if self._socket is not None:
            gevent.spawn(self._ping)

    def _ping(self) -> None:
        assert self._socket is not None
        with suppress(OSError, SocketClosed):  # the receiving greenlet hears of it, too
            self._socket.send(_GOODBYE)

    def _end(self, fault: str | None = None) -> None:
        if fault is not None:
            self.record.fault(fault)
        self._note()
        raise StopUser

    def _note(self) -> None:
        self._noted = True
        self.run_.noted.records.append(msgspec.to_builtins(self.record))

    def _fire(self, begun: float, error: Exception | None) -> None:
        self.environment.events.request.fire(
            request_type=SUBSCRIBE.method,
            name=SUBSCRIBE.name,
            response_time=(time.perf_counter() - begun) * 1000,
            response_length=0,
            exception=error,
            context={},
        )


def log_position(url: str, token: str) -> int:
    """The seq at which a subscription to the log would begin now. Raises NotPrepared."""
    try:
        connection = Socket(f"{url.rstrip('/')}/ws", token, timeout_seconds=_TIMEOUT_SECONDS)
        try:
            connection.send(b'{"type":"subscribe","topics":["log"],"after":"now"}')
            told = _told.decode(connection.receive())
        finally:
            connection.close()
    except (OSError, SocketClosed) as error:
        raise NotPrepared(f"{url}/ws cannot be subscribed to: {error}") from None
    if told.type != "subscribed":
        raise NotPrepared(f"{url}/ws does not show the log: {told.code} {told.detail}")
    return told.after
