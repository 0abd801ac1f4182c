"""What background processes learn from the feed about new events. It is only a hint, and may be missed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec

from domain.model import Event
from runtime.feed import EVENTS_CHANNEL, Listener
from runtime.records import read_event


class Headline(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The beginning of an event record, as far as somebody may need it; nothing in it is decoded before that."""

    seq: int
    type: str
    subject: msgspec.Raw = msgspec.Raw()
    command_id: msgspec.Raw = msgspec.Raw()
    actor: msgspec.Raw = msgspec.Raw()
    occurred_at: msgspec.Raw = msgspec.Raw()
    data: msgspec.Raw = msgspec.Raw()
    version: int = 1

    def event(self) -> Event:
        """The event itself. Raises what `read_event` raises."""
        return read_event(self.type, self.version, self.data)


Hearer: TypeAlias = Callable[[Sequence[Headline]], None]

DECODER: Final = msgspec.json.Decoder(list[Headline])
"""Reads a message of the feed."""


class Headlines:
    """Tells each of `hearers` of the events that a batch committed. An async context manager."""

    def __init__(self, redis_url: str, hearers: Sequence[Hearer]) -> None:
        self._hearers = hearers
        self._listener = Listener(redis_url, {EVENTS_CHANNEL: self._hear}, on_reconnect=lambda: None)

    async def __aenter__(self) -> None:
        await self._listener.start()

    async def __aexit__(self, *_: object) -> None:
        await self._listener.stop()

    def _hear(self, message: str) -> None:
        headlines = DECODER.decode(message)
        for hear in self._hearers:
            hear(headlines)
