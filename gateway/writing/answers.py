"""Answers to writes with an Idempotency-Key, stored so that a repetition gets the first one, byte for byte. An answer
that depends only on the command's event (an order, its transitions, a rejection, a 202) can be made again, and is not
stored. An answer that shows rows, which may change later, is stored in Redis for as long as the key is remembered, or
until the answers take too many bytes. Answers with secrets or personal data, and those that are too large, are never
stored.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
from fastapi import Response

from gateway.writing.submit import Accepted, Ask
from runtime.generations import GENERATIONS
from runtime.redis_client import REDIS_UNAVAILABLE
from runtime.redis_pipeline import Client, Script

_log = logging.getLogger(__name__)

_KEEP: Final = Script(GENERATIONS + (Path(__file__).parent / "keep.lua").read_text())
ANSWERS_KEYS: Final = ("{answers}:newer", "{answers}:older")
"""The hashes of stored answers, by the command's id."""


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """The answer to a write; `headers` describe what was written."""

    body: str
    status: int = 200
    headers: dict[str, str] = {}

    def response(self, accepted: Accepted) -> Response:
        """The response, with headers about how this request was treated."""
        return Response(self.body, self.status, {**self.headers, **accepted.headers()}, "application/json")


class Answers:
    """The stored answers, shared by all gateway processes."""

    def __init__(self, client: Client, *, kept_seconds: int, max_bytes: int, all_max_bytes: int) -> None:
        """`max_bytes` bounds one answer, `all_max_bytes` all of them together."""
        self._client = client
        self._kept_seconds = kept_seconds
        self._max_bytes = max_bytes
        self._all_max_bytes = all_max_bytes

    async def respond(self, asked: Ask, accepted: Accepted, make: Callable[[], Awaitable[Answer]]) -> Response:
        """The response to a write: 202 while its outcome is not known, otherwise the first answer."""
        if accepted.outcome is None:
            return accepted.response()
        return (await self.first(asked, accepted, make)).response(accepted)

    async def first(self, asked: Ask, accepted: Accepted, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """The command's first answer; if none is stored, the one that `make` makes now, which is then stored. If Redis
        is unavailable, or the answer was too large to store, a repetition shows the current state.
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
            pipeline = self._client.pipeline(transaction=False)
            for answers in ANSWERS_KEYS:
                pipeline.hget(answers, str(command_id))
            newer, older = await pipeline.execute()
            return _decoded(newer or older)
        except REDIS_UNAVAILABLE as error:
            _log.warning("a stored answer could not be read (%s)", type(error).__name__)
            return None

    async def _keep(self, command_id: UUID, encoded: bytes) -> Answer | None:
        """Stores the answer, unless another request with the same command was answered meanwhile: then returns that
        answer."""
        try:
            kept_milliseconds = self._kept_seconds * 1000
            return _decoded(
                await _KEEP(
                    self._client, ANSWERS_KEYS, [str(command_id), encoded, kept_milliseconds, self._all_max_bytes]
                )
            )
        except REDIS_UNAVAILABLE as error:
            _log.warning("an answer could not be stored (%s)", type(error).__name__)
            return None


def _decoded(kept: Any) -> Answer | None:
    return None if kept is None else msgspec.msgpack.decode(kept, type=Answer)
