"""Files uploaded for a job: received piece by piece and stored in parts, before the job is requested. Only one part of
each is in memory, and no connection to Postgres is held while waiting for the sender. The parts of an interrupted
upload are deleted; if that fails, too, the background process deletes them later, because no job was requested for
them.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa
from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import ClientDisconnect

from gateway.server.http1 import CONNECTION, BoundedHttp
from gateway.web.problems import Problem
from runtime.engine import VIEW_FAILED
from runtime.tables import job_parts
from runtime.tables.jobs import PART_BYTES, UPLOAD_RUN

_log = logging.getLogger(__name__)

# The rest of the body is not read, so the connection cannot be used again.
_CLOSE = {"Connection": "close"}


class Uploaded(NamedTuple):
    """How much was stored, and its digest."""

    size_bytes: int
    digest: bytes


class Uploads:
    """Receives uploads for one gateway process."""

    def __init__(
        self, engine: AsyncEngine, *, max_bytes: int, idle_seconds: float, max_seconds: float, max_uploads: int
    ) -> None:
        self._engine = engine
        self._max_bytes = max_bytes
        self._idle_seconds = idle_seconds
        self._max_seconds = max_seconds
        self._max_uploads = max_uploads
        self._running = 0

    async def keep(self, request: Request, job_id: UUID, check: Callable[[bytes], None]) -> Uploaded:
        """Stores the request's body as the upload of a job; `check` examines its first part, in its own thread, and may
        raise a Problem. Raises 400, 408, 413 and 503 Problems."""
        length = request.headers.get("content-length")
        if length is not None and length.isdecimal() and int(length) > self._max_bytes:
            raise self._too_large()
        if self._running >= self._max_uploads:
            raise Problem("uploads_busy", "Too many files are being uploaded; try again soon.", headers=_CLOSE)
        self._running += 1
        connection: BoundedHttp = request.scope[CONNECTION]
        connection.may_send_for(self._max_seconds)
        try:
            return await self._keep(request, job_id, check)
        except BaseException:
            await self.forget(job_id)
            raise
        finally:
            self._running -= 1

    async def forget(self, job_id: UUID) -> None:
        """Deletes a stored upload."""
        try:
            async with self._engine.begin() as connection:
                await connection.execute(sa.delete(job_parts).where(job_parts.c.job_id == job_id))
        except VIEW_FAILED as error:
            _log.warning("an abandoned upload was not deleted (%s); the background process will do it", error)

    async def _keep(self, request: Request, job_id: UUID, check: Callable[[bytes], None]) -> Uploaded:
        digest = hashlib.blake2b(digest_size=16)
        buffer = bytearray()
        size = parts = 0
        async for piece in self._pieces(request):
            size += len(piece)
            if size > self._max_bytes:
                raise self._too_large()
            digest.update(piece)
            buffer += piece
            while len(buffer) >= PART_BYTES:
                part = bytes(buffer[:PART_BYTES])
                del buffer[:PART_BYTES]
                if parts == 0:
                    await asyncio.to_thread(check, part)
                await self._keep_part(job_id, parts, part)
                parts += 1
        if parts == 0:
            await asyncio.to_thread(check, bytes(buffer))
        if buffer:
            await self._keep_part(job_id, parts, bytes(buffer))
        return Uploaded(size, digest.digest())

    async def _pieces(self, request: Request) -> AsyncIterator[bytes]:
        """The body, piece by piece."""
        stream = request.stream()
        while True:
            try:
                async with asyncio.timeout(self._idle_seconds):
                    piece = await anext(stream, None)
            except TimeoutError:
                detail = f"Nothing arrived for {self._idle_seconds:g} seconds."
                raise Problem("upload_stalled", detail, headers=_CLOSE) from None
            except ClientDisconnect:
                raise Problem("incomplete_body", "The client disconnected before the body was complete.") from None
            if piece is None:
                return
            yield piece

    async def _keep_part(self, job_id: UUID, part: int, data: bytes) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(
                sa.insert(job_parts).values(
                    job_id=job_id, run=UPLOAD_RUN, part=part, data=data, created_at=sa.func.now()
                )
            )

    def _too_large(self) -> Problem:
        return Problem("body_too_large", f"A file may have at most {self._max_bytes} bytes.", headers=_CLOSE)
