"""A send queue: what is on its way to one socket or stream, bounded, in order, and isolated from the others. A sending
task exists only while there is something to send, so an idle socket costs little; whatever accumulates meanwhile is
sent together. Events count as sent only after they have been, so a client that is cut off can be told where to resume.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from gateway.realtime.packets import Form, Packet
from runtime.metrics import FEED_BYTES, FEED_FRAMES, FEED_LAG_SECONDS
from runtime.records import CHUNK_MAX_BYTES, CHUNK_MAX_EVENTS

# A client that reads nothing for this long is too slow.
SEND_MAX_SECONDS: Final = 20.0

NOTICES_MAX: Final = 200
"""How many notices may wait; a client that reads none of them is too slow."""

_CROWDED: Final = NOTICES_MAX // 2

Send = Callable[[str], Awaitable[None]]


class Lane:
    """One subscription's events on their way. All of them up to the seq `sent` have been sent."""

    __slots__ = ("name", "sent")

    def __init__(self, name: str, began: int) -> None:
        """`name` is JSON, as it is sent; `began` is the seq after which the subscription begins."""
        self.name = name
        self.sent = began


class _Events(NamedTuple):
    lane: Lane
    packet: Packet
    live: bool


class _Notice(NamedTuple):
    """A message other than events. Once it is sent, so is everything up to `seq` of these lanes."""

    text: str
    seq: int
    lanes: Sequence[Lane]


class _Frame(NamedTuple):
    """What is sent at once: the text, how many items it has, and the moment of its oldest new event, 0 for none."""

    text: str
    seq: int
    lanes: Sequence[Lane]
    items: int
    at: int = 0


class SendQueue:
    """Sends packets and notices to one receiver, in the order they were put in. One packet of live events always has
    room; beyond it, `max_events` and `max_bytes` may wait. Past events wait outside until the queue is sent."""

    def __init__(self, send: Send, ended: Callable[[], None], form: Form, *, max_events: int, max_bytes: int) -> None:
        """`ended` is called when nothing more can be sent: the queue is full, or the receiver is gone or reads nothing.
        Events are sent in `form`."""
        self._send = send
        self._form = form
        self._ended = ended
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._items: deque[_Events | _Notice] = deque()
        self._events = 0
        self._bytes = 0
        self._notices = 0
        self._put_in = 0
        self._sent = 0
        self._flushing: deque[tuple[int, asyncio.Future[None]]] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._sealed = False
        self.overflowed = False
        """Whether it ended because its receiver is too slow, rather than gone."""

    @property
    def waiting(self) -> int:
        """The number of live events not sent yet."""
        return self._events

    @property
    def crowded(self) -> bool:
        """Whether so many notices wait that no more should be requested until they are sent."""
        return self._notices >= _CROWDED

    def put(self, lane: Lane, packet: Packet, *, live: bool = True) -> None:
        """Adds events. If live ones do not fit, the queue ends. Past ones do not count towards the limits, because
        their caller awaits `flushed` first."""
        if self._sealed:
            return
        if live:
            events, size = self._events + len(packet.bodies), self._bytes + packet.size
            if self._events and (events > self._max_events or size > self._max_bytes):
                self._overflow()
                return
            self._events, self._bytes = events, size
        self._append(_Events(lane, packet, live))

    def notify(self, message: str, seq: int = 0, lanes: Sequence[Lane] = ()) -> None:
        """Adds a notice, which may state that everything up to `seq` of some lanes was added before it."""
        if self._sealed:
            return
        if self._notices >= NOTICES_MAX:
            self._overflow()
            return
        self._notices += 1
        self._append(_Notice(message, seq, lanes))

    def seal(self) -> None:
        """Accepts nothing more; what is already in the queue is still sent."""
        self._sealed = True

    def close(self) -> None:
        """Sends nothing more."""
        self._sealed = True
        self._items.clear()
        if self._writing is not None:
            self._writing.cancel()
        self._wake()

    async def flushed(self) -> None:
        """Returns when everything added so far is sent, or cannot be sent."""
        if self._writing is None:
            return
        if self._flushing is None:
            self._flushing = deque()
        sent = asyncio.get_running_loop().create_future()
        self._flushing.append((self._put_in, sent))
        await sent

    def _append(self, item: _Events | _Notice) -> None:
        self._put_in += 1
        self._items.append(item)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())

    def _overflow(self) -> None:
        self._sealed = True
        self.overflowed = True
        self._ended()

    async def _write_all(self) -> None:
        try:
            while self._items:
                frame = self._next()
                async with asyncio.timeout(SEND_MAX_SECONDS):
                    await self._send(frame.text)
                _note(frame)
                for lane in frame.lanes:
                    lane.sent = max(lane.sent, frame.seq)
                self._sent += frame.items
                self._wake(self._sent)
        except Exception as error:
            self.overflowed = isinstance(error, TimeoutError)
            self._sealed = True
            self._items.clear()
            self._ended()
        finally:
            self._writing = None
            if not self._items:
                self._wake()

    def _wake(self, sent: int | None = None) -> None:
        """Wakes those who wait for that many items to be sent, or all."""
        while self._flushing and (sent is None or self._flushing[0][0] <= sent):
            _, waiting = self._flushing.popleft()
            if not waiting.done():
                waiting.set_result(None)

    def _next(self) -> _Frame:
        """A notice, or as many events of one subscription as fit into one frame."""
        item = self._items.popleft()
        if isinstance(item, _Notice):
            self._notices -= 1
            return _Frame(item.text, item.seq, item.lanes, 1)
        lane, packet, live = item
        at = packet.at if live else 0
        self._take_off(item)
        if not self._goes_together(lane, len(packet.bodies), packet.size):
            return _Frame(packet.written(self._form, lane.name), packet.seq, (lane,), 1, at)
        seqs, bodies, size, items = list(packet.seqs), list(packet.bodies), packet.size, 1
        while self._goes_together(lane, len(bodies), size):
            more = self._items.popleft()
            assert isinstance(more, _Events)
            self._take_off(more)
            seqs += more.packet.seqs
            bodies += more.packet.bodies
            size += more.packet.size
            items += 1
        return _Frame(self._form(lane.name, seqs, bodies), seqs[-1], (lane,), items, at)

    def _take_off(self, item: _Events) -> None:
        if item.live:
            self._events -= len(item.packet.bodies)
            self._bytes -= item.packet.size

    def _goes_together(self, lane: Lane, count: int, size: int) -> bool:
        """Whether the next item is events of the same subscription that still fit into the frame."""
        if not self._items or isinstance(self._items[0], _Notice) or self._items[0].lane is not lane:
            return False
        packet = self._items[0].packet
        return count + len(packet.bodies) <= CHUNK_MAX_EVENTS and size + packet.size <= CHUNK_MAX_BYTES


def _note(frame: _Frame) -> None:
    """Counts a frame that was sent."""
    text = frame.text
    FEED_FRAMES.note()
    FEED_BYTES.note(len(text) if text.isascii() else len(text.encode()))
    if frame.at:
        FEED_LAG_SECONDS.note(max(0.0, time.time() - frame.at / 1e6))
