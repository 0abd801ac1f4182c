"""Answers to writes with an Idempotency-Key, kept so that a repetition gets the first one, byte for byte.

What is made of a command's event alone (an order, its moves, a refusal, a 202) can be made again, and is not kept. What
shows rows, which others go on changing, is kept in Redis beside the memory of the key, for as long: whoever answers
first has decided. Never kept is what holds a secret or tells who somebody is, nor what is too large.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec
from fastapi import Response
from redis.asyncio import Redis

from gateway.writing.submit import Accepted, Ask
from runtime.redis_client import REDIS_UNAVAILABLE

_log = logging.getLogger(__name__)


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What a write is answered with; `headers` are those that say something of what was written."""

    body: str
    status: int = 200
    headers: dict[str, str] = {}

    def response(self, accepted: Accepted) -> Response:
        """The response, which also says how this very request was treated."""
        return Response(self.body, self.status, {**self.headers, **accepted.headers()}, "application/json")


class Answers:
    """The answers that are kept, for all gateway processes."""

    def __init__(self, client: Redis, *, kept_seconds: int, max_bytes: int) -> None:
        self._client = client
        self._kept_seconds = kept_seconds
        self._max_bytes = max_bytes

    async def respond(self, asked: Ask, accepted: Accepted, make: Callable[[], Awaitable[Answer]]) -> Response:
        """The response to a write: 202 while its outcome is not known, else the first answer."""
        if accepted.outcome is None:
            return accepted.response()
        return (await self.first(asked, accepted, make)).response(accepted)

    async def first(self, asked: Ask, accepted: Accepted, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer that the command was given first; if there is none, what `make` makes now, kept from now on.

        If Redis cannot say, or the answer was too large to keep, a repetition shows what is there now.
        """
        if asked.key is None:
            return await make()
        if accepted.replayed and (kept := await self._known(accepted.command_id)) is not None:
            return kept
        made = await make()
        encoded = msgspec.msgpack.encode(made)
        if len(encoded) > self._max_bytes:
            return made
        return await self._keep(accepted.command_id, encoded) or made

    async def _known(self, command_id: UUID) -> Answer | None:
        try:
            return _decoded(await self._client.get(_key(command_id)))
        except REDIS_UNAVAILABLE as error:
            _log.warning("a kept answer could not be read (%s)", type(error).__name__)
            return None

    async def _keep(self, command_id: UUID, encoded: bytes) -> Answer | None:
        """Keeps the answer unless another request of the same command was answered meanwhile: then that answer."""
        try:
            return _decoded(await self._client.set(_key(command_id), encoded, nx=True, get=True, ex=self._kept_seconds))
        except REDIS_UNAVAILABLE as error:
            _log.warning("an answer could not be kept (%s)", type(error).__name__)
            return None


def _key(command_id: UUID) -> str:
    return f"answer:{command_id}"


def _decoded(kept: Any) -> Answer | None:
    return None if kept is None else msgspec.msgpack.decode(kept, type=Answer)
