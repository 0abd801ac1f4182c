"""Subscribers: the real client of the feed, over sockets that carry its messages to a session of some gateway, and are
cut off at any moment. Each keeps all that it was told."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from random import Random
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, cast

import aiohttp

from gateway.realtime.session import Session
from tests.simulation.fleet import Fleet
from tests.simulation.names import Name, Names, name_of
from tests.simulation.processes import GatewayProcess
from tests.simulation.stage import Stage
from tests.simulation.turns import Process
from tidegate.client import NOT_THIS_LOG_CODES, Feed, FeedRefused

_DELAY_SECONDS: Final = 0.002
_GONE: Final = 1006


class Life(NamedTuple):
    """What a subscriber was told between two fresh starts: the events after `after`."""

    after: int
    events: list[dict[str, Any]]
    ended: str | None
    """The code with which it was told that this is not its log; None for the last one."""


class Subscriber:
    """Follows the log from any place on, through any of the gateways."""

    def __init__(self, stage: Stage, number: int, fleet: Fleet) -> None:
        self._stage = stage
        self._process = Process("subscriber", number)
        self._fleet = fleet
        self._feed: Feed | None = None
        # Its own, because several are told of an event in no particular order.
        self._random = Random(f"{stage.random.random()} {number}")
        self._socket: _Socket | None = None
        self._lives: list[Life] = []
        self.happened: Counter[str] = Counter()

    def __str__(self) -> str:
        return str(self._process)

    @property
    def seq(self) -> int:
        """Of the last event of this life, or where it began."""
        life = self._lives[-1]
        return life.events[-1]["seq"] if life.events else life.after

    @property
    def name(self) -> Name | None:
        """Of the last event that it was told of in this life."""
        events = self._lives[-1].events
        return name_of(events[-1]) if events else None

    @property
    def log(self) -> str | None:
        """The identity of the log that it follows, once known."""
        return None if self._feed is None else self._feed.log

    def begin(self, after: int, log: str | None) -> None:
        """Follows the log after `after` (of the log `log`), for as long as the world lasts."""
        self._lives.append(Life(after, [], None))
        self._stage.begin(self._process, self._follow(log))

    def cut_off(self) -> None:
        """Its connection is lost; it comes back by itself."""
        if self._socket is not None:
            self._socket.cut()

    def judge(self, names: Names, log: Sequence[Name]) -> None:
        """Checks that it was told the log, whose events have these names in the end, or to start over."""
        for life in self._lives:
            told = [names.was_told(event, f"told to {self}") for event in life.events]
            seqs = [seq for _, seq in told]
            expected = list(range(life.after + 1, life.after + 1 + len(seqs)))
            assert seqs == expected, f"{self} was told of {seqs} behind {life.after}"
            if life.ended is None:
                assert told == log[life.after :], f"{self} was told of {told}, the log is {log}"
            else:
                self.happened[f"told: {life.ended}"] += 1

    async def _follow(self, log: str | None) -> None:
        http = cast(aiohttp.ClientSession, self)
        while True:
            after, events, _ = self._lives[-1]
            self._feed = Feed(http, "", "token", ["log"], after, log=log)
            try:
                async for event in self._feed:
                    events.append(event)
                    self._stage.note(f"{self} is told of seq {event['seq']}")
                    self.happened["events told"] += 1
            except FeedRefused as refused:
                if refused.code not in NOT_THIS_LOG_CODES:
                    raise
                self._lives[-1] = Life(after, events, refused.code)
                self._stage.note(f"{self} starts over: {refused.code}")
            self._lives.append(Life(0, [], None))
            log = None
            await asyncio.sleep(_DELAY_SECONDS)

    def ws_connect(self, *_: object, **__: object) -> _Socket:
        """As aiohttp's: a socket to some gateway."""
        gateways = self._fleet.living(GatewayProcess)
        if not gateways:
            raise aiohttp.ClientConnectionError
        self.happened["subscribers connected"] += 1
        self._socket = _Socket(self._stage, self._random.choice(gateways), self._random)
        return self._socket


class _Socket:
    """Both ends of a WebSocket, and what is on its way between them."""

    def __init__(self, stage: Stage, gateway: GatewayProcess, random: Random) -> None:
        self._stage = stage
        self._gateway = gateway
        self._random = random
        self._down: asyncio.Queue[aiohttp.WSMessage] = asyncio.Queue()
        self._up: asyncio.Queue[str] = asyncio.Queue()
        self.close_code: int | None = None
        self._is_cut = False

    async def __aenter__(self) -> Self:
        await asyncio.sleep(self._random.expovariate(1 / _DELAY_SECONDS))
        if self._gateway.process.dead:
            raise aiohttp.ClientConnectionError
        self._stage.begin(self._gateway.process, self._serve())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cut()

    async def send_json(self, message: dict[str, Any]) -> None:
        self._up.put_nowait(json.dumps(message))

    async def receive(self, timeout: float) -> aiohttp.WSMessage:  # noqa: ASYNC109 - aiohttp's signature
        async with asyncio.timeout(timeout):
            message = await self._down.get()
        await asyncio.sleep(self._random.expovariate(1 / _DELAY_SECONDS))
        if message.type is aiohttp.WSMsgType.CLOSE:
            self.close_code = message.data
        return message

    def cut(self) -> None:
        """Nothing more arrives, at either end; the gateway's learns of it."""
        if not self._is_cut:
            self._is_cut = True
            self._down.put_nowait(aiohttp.WSMessage(aiohttp.WSMsgType.CLOSED, _GONE, None))
            self._up.put_nowait("")

    async def _serve(self) -> None:
        """The gateway's end."""
        session = self._gateway.open(self._send, lambda: self._up.put_nowait(""))
        try:
            while session.closing is None and not self._is_cut and (said := await self._up.get()):
                await session.hear(said)
            if session.closing is not None and not self._is_cut:
                async with asyncio.timeout(1.0):
                    await session.flushed()
                self._close(session)
        finally:
            self._gateway.close(session)
            self.cut()

    def _close(self, session: Session) -> None:
        assert session.closing is not None
        code = session.closing.code or _GONE
        self._down.put_nowait(aiohttp.WSMessage(aiohttp.WSMsgType.CLOSE, code, session.closing.reason))

    async def _send(self, text: str) -> None:
        if self._is_cut or self._gateway.process.dead:
            raise ConnectionResetError
        await asyncio.sleep(self._random.expovariate(1 / _DELAY_SECONDS))
        self._down.put_nowait(aiohttp.WSMessage(aiohttp.WSMsgType.TEXT, text, None))
