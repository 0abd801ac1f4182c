"""What a kind of job is written against.

    @job("report")
    async def run(job: Job, tools: Tools) -> dict[str, Any]: ...

The function returns the job's summary (a JSON object), or raises JobFailed to say why there will be none. Whatever else
it raises is tried again, so it must bear to be run again: from its last `checkpoint`, if it makes any, and else from
the beginning. It may be cancelled at any `await`: then another run has the job, or the process is to end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import asyncpg
import msgspec

from domain.jobs import JOB_KINDS
from runtime.mailboxes.sender import Sender
from runtime.settings import Settings
from runtime.tables.jobs import PART_BYTES, UPLOAD_RUN
from workers.jobs import store
from workers.jobs.store import Job
from workers.tasks.queue import Task

__all__ = ["Job", "JobFailed", "Tools", "job", "upload_incomplete"]

_Run = Callable[["Job", "Tools"], Awaitable[dict[str, Any]]]

KINDS: dict[str, _Run] = {}


class JobFailed(Exception):
    """There is no point in trying again; `code` is stable, `detail` is for people, and both are shown to who asked."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def upload_incomplete() -> JobFailed:
    """Why a job cannot be done of whose upload something is missing: what is left means something else."""
    return JobFailed("upload_incomplete", "A part of the file is gone; send it again.")


def job(kind: str) -> Callable[[_Run], _Run]:
    """Registers the function that does the jobs of a kind."""
    assert kind in JOB_KINDS, f"the domain knows no job {kind}"

    def register(run: _Run) -> _Run:
        assert kind not in KINDS, f"two functions do {kind}"
        KINDS[kind] = run
        return run

    return register


class Tools:
    """What a run of a job works with. `pool` has connections without the bounds of batches, `sender` posts commands."""

    def __init__(self, job: Job, task: Task, pool: asyncpg.Pool[Any], sender: Sender, config: Settings) -> None:
        self.pool = pool
        self.sender = sender
        self.config = config
        self.result = Result(job, pool, max_bytes=config.job_result_max_bytes)
        self.done = job.progress_done
        self.total = job.progress_total
        self._job = job
        self._task = task

    def progress(self, done: int, total: int | None) -> None:
        """Notes how far the job is, in units of its own. Cheap: it is written when the lease is renewed."""
        self.done = done
        self.total = total

    async def checkpoint(self, state: Mapping[str, Any]) -> None:
        """Keeps `state` (a JSON object) for the next run, should this one break off, with the progress so far. Raises
        LeaseLost if another run has the job. Having made headway, the job may break off as often again."""
        await store.save_checkpoint(
            self.pool, self._task, self._job.id, msgspec.json.encode(state).decode(), self.done, self.total
        )

    async def save_progress(self) -> None:
        """Writes the progress down. Raises LeaseLost."""
        await store.save_progress(self.pool, self._task, self._job.id, self.done, self.total)

    async def upload(self, *, after_part: int = -1) -> AsyncIterator[tuple[int, bytes]]:
        """What was uploaded for the job: the parts behind `after_part`, each with its number, in order. Raises
        JobFailed if one between others is gone; whether it was the last one, its reader knows."""
        part = after_part
        while found := await store.next_part(self.pool, self._job.id, UPLOAD_RUN, part):
            if found[0] != part + 1:
                raise upload_incomplete()
            part, data = found
            yield part, data


class Result:
    """The bytes that a run makes of its job, kept in parts as they come."""

    def __init__(self, job: Job, pool: asyncpg.Pool[Any], *, max_bytes: int) -> None:
        self._job = job
        self._pool = pool
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._parts = 0
        self.size_bytes = 0

    async def write(self, data: bytes) -> None:
        """Adds to the result. Raises JobFailed when it is too large."""
        self.size_bytes += len(data)
        if self.size_bytes > self._max_bytes:
            raise JobFailed("result_too_large", f"A result has at most {self._max_bytes:,} bytes.")
        self._buffer += data
        while len(self._buffer) >= PART_BYTES:
            await self._keep(PART_BYTES)

    async def close(self) -> None:
        """Keeps what is left."""
        if self._buffer:
            await self._keep(len(self._buffer))

    async def _keep(self, length: int) -> None:
        data = bytes(self._buffer[:length])
        del self._buffer[:length]
        await store.keep_part(self._pool, self._job, self._parts, data)
        self._parts += 1
