"""Load by people whose requests depend on earlier answers, as in a checkout.

A conversation is a generator: it yields requests as prepared bytes (see `loadtests.loadgen.request`) and is sent each
answer. A number of people talk concurrently, each over their own keep-alive connection with one request in flight;
after a conversation, they begin another. It costs a few microseconds per request. Run it in a separate process from the
server.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from time import perf_counter
from typing import Any, Final, TypeAlias, cast

import msgspec
import uvloop

from loadtests.loadgen import STALL_SECONDS, ResponseError, parse
from loadtests.percentiles import nearest_rank

_HEAD_END: Final = b"\r\n\r\n"
_REASON_CHARS: Final = 300


class Unexpected(Exception):
    """An answer after which the conversation cannot continue."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """An answer, and how long it took in seconds."""

    status: int
    body: bytes
    seconds: float

    def content(self, status: int) -> bytes:
        """The body of an answer with this status. Raises Unexpected if it has another."""
        if self.status != status:
            said = self.body[:_REASON_CHARS].decode(errors="replace")
            raise Unexpected(f"wanted status {status}, got {self.status}: {said}")
        return self.body

    def json(self, status: int) -> Any:
        """The JSON of an answer with this status. Raises Unexpected if it has another."""
        return msgspec.json.decode(self.content(status))


Conversation: TypeAlias = Generator["bytes | Pause", Answer, None]


class Pause(msgspec.Struct, frozen=True, gc=False):
    """Yielded instead of a request: sends nothing for this long. The generator is then sent the previous answer
    again."""

    seconds: float


class Talked(msgspec.Struct):
    """The result of a run. `seconds` is until the last conversation was over; `waits` are seconds, by what a
    conversation chose to time; `failures` say why conversations broke off, and how many of them."""

    seconds: float = 0.0
    finished: int = 0
    requests: int = 0
    failures: Counter[str] = msgspec.field(default_factory=Counter)
    waits: dict[str, array[float]] = msgspec.field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Conversations finished a second."""
        return self.finished / self.seconds if self.seconds else 0.0

    def timed(self, what: str, seconds: float) -> None:
        self.waits.setdefault(what, array("d")).append(seconds)

    def percentile_ms(self, what: str, percent: float) -> float:
        return nearest_rank(array("d", sorted(self.waits.get(what, ()))), percent) * 1000


def run(
    host: str, port: int, begin: Callable[[Talked], Iterator[Conversation]], *, people: int, seconds: float
) -> Talked:
    """Lets `people` talk for `seconds`; after that, no conversation is begun, and those in progress are finished.
    Blocks; needs a thread without a running event loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Run((host, port), begin, people, seconds).go())


class _Run:
    """The state that all people of one run share."""

    def __init__(
        self, address: tuple[str, int], begin: Callable[[Talked], Iterator[Conversation]], people: int, seconds: float
    ) -> None:
        self.talked = Talked()
        self._address = address
        self._conversations = begin(self.talked)
        self._people = people
        self._seconds = seconds
        self._deadline = self._last_answer = 0.0

    async def go(self) -> Talked:
        loop = asyncio.get_running_loop()
        self._all_done = loop.create_future()
        self._open = self._people
        people = [_Person(self) for _ in range(self._people)]
        for person in people:
            await loop.create_connection(lambda person=person: person, *self._address)  # type: ignore[misc]
        begun = self._last_answer = perf_counter()
        self._deadline = begun + self._seconds
        for person in people:
            person.begin()
        self._end_if_stalled(loop)
        await self._all_done
        for person in people:
            person.close()
        self.talked.seconds = self._last_answer - begun
        return self.talked

    def next_conversation(self) -> Conversation | None:
        return next(self._conversations, None) if perf_counter() < self._deadline else None

    def answered(self, now: float) -> None:
        self.talked.requests += 1
        self._last_answer = now

    def finished(self) -> None:
        self.talked.finished += 1

    def broke_off(self, reason: str) -> None:
        self.talked.failures[reason] += 1

    def one_left(self) -> None:
        self._open -= 1
        if self._open == 0 and not self._all_done.done():
            self._all_done.set_result(None)

    def _end_if_stalled(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._all_done.done():
            return
        if perf_counter() - self._last_answer > STALL_SECONDS:
            self.broke_off(f"nothing was answered for {STALL_SECONDS:.0f} s")
            self._all_done.set_result(None)
        else:
            loop.call_later(1.0, self._end_if_stalled, loop)


class _Person(asyncio.Protocol):
    """One connection, and the conversation it is in."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._transport: asyncio.WriteTransport | None = None
        self._conversation: Conversation | None = None
        self._buffer = b""
        self._sent_at = 0.0
        self._said = Answer(0, b"", 0.0)
        self._left = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def begin(self) -> None:
        """Begins conversations until one asks for something, or there are no more."""
        self._conversation = self._run.next_conversation()
        if self._conversation is None:
            self._leave()
        else:
            self._go_on(None)

    def _go_on(self, answer: Answer | None) -> None:
        assert self._conversation is not None
        try:
            asked = next(self._conversation) if answer is None else self._conversation.send(answer)
        except StopIteration:
            self._run.finished()
            self.begin()
            return
        except (Unexpected, KeyError, IndexError) as error:
            self._run.broke_off(f"{type(error).__name__}: {error}")
            self.begin()
            return
        if isinstance(asked, Pause):
            asyncio.get_running_loop().call_later(asked.seconds, self._go_on, self._said)
        elif self._transport is None:
            self._run.broke_off("the connection was closed")
            self._leave()
        else:
            self._sent_at = perf_counter()
            self._transport.write(asked)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        try:
            response = parse(data)
        except ResponseError as error:
            self._run.broke_off(str(error))
            self.close()
            return
        if response is None:
            self._buffer = data
            return
        now = perf_counter()
        self._buffer = b""
        self._run.answered(now)
        body = data[data.index(_HEAD_END) + len(_HEAD_END) : response.end]
        self._said = Answer(response.status, body, now - self._sent_at)
        if response.closes:
            self.close()
        self._go_on(self._said)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if not self._left:
            self._run.broke_off("the connection was closed")
            self._leave()

    def _leave(self) -> None:
        if not self._left:
            self._left = True
            self._run.one_left()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
