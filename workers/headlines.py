"""What background processes learn from the feed about new events: their types, and no more. It is only a hint, and may
be missed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from runtime.feed import EVENTS_CHANNEL, Listener


class _Headline(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The beginning of an event record; the rest is not decoded."""

    seq: int
    type: str


_decoder = msgspec.json.Decoder(list[_Headline])


class Headlines:
    """Tells each of `hearers` the types of the events that a batch committed. An async context manager."""

    def __init__(self, redis_url: str, hearers: Sequence[Callable[[frozenset[str]], None]]) -> None:
        self._hearers = hearers
        self._listener = Listener(redis_url, {EVENTS_CHANNEL: self._hear}, on_reconnect=lambda: None)

    async def __aenter__(self) -> None:
        await self._listener.start()

    async def __aexit__(self, *_: object) -> None:
        await self._listener.stop()

    def _hear(self, message: str) -> None:
        types = frozenset(headline.type for headline in _decoder.decode(message))
        for hear in self._hearers:
            hear(types)
