"""The interface that a kind of job is written against.

    @job("report")
    async def run(job: Job, tools: Tools) -> dict[str, Any]: ...

The function returns the job's summary (a JSON object), or raises JobFailed to say why there will be none. After any
other exception the job is retried, so the function must be safe to run again: from its last `checkpoint`, if it makes
any, otherwise from the beginning. It may be cancelled at any `await`: then another run has the job, or the process is
ending.
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
    """Retrying is pointless; `code` is stable, `detail` is for people, and both are shown to the requester."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def upload_incomplete() -> JobFailed:
    """The failure of a job whose upload is incomplete: the rest would mean something else."""
    return JobFailed("upload_incomplete", "Part of the file is missing; send it again.")


def job(kind: str) -> Callable[[_Run], _Run]:
    """Registers the function that runs the jobs of a kind."""
    assert kind in JOB_KINDS, f"the domain knows no job {kind}"

    def register(run: _Run) -> _Run:
        assert kind not in KINDS, f"two functions run {kind}"
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
        """Notes how far the job has come, in its own units. Cheap: it is written when the lease is renewed."""
        self.done = done
        self.total = total

    async def checkpoint(self, state: Mapping[str, Any]) -> None:
        """Saves `state` (a JSON object) for the next run, in case this one is interrupted, together with the progress
        so far. Raises LeaseLost if another run has the job. As headway, it resets the count of attempts."""
        await store.save_checkpoint(
            self.pool, self._task, self._job.id, msgspec.json.encode(state).decode(), self.done, self.total
        )

    async def save_progress(self) -> None:
        """Writes the progress down. Raises LeaseLost."""
        await store.save_progress(self.pool, self._task, self._job.id, self.done, self.total)

    async def upload(self, *, after_part: int = -1) -> AsyncIterator[tuple[int, bytes]]:
        """The job's upload: the parts after `after_part`, each with its number, in order. Raises JobFailed if one in
        between is gone; the reader must check that the last one was the last."""
        part = after_part
        while found := await store.next_part(self.pool, self._job.id, UPLOAD_RUN, part):
            if found[0] != part + 1:
                raise upload_incomplete()
            part, data = found
            yield part, data


class Result:
    """The bytes of a job's result, stored in parts as they come."""

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
            raise JobFailed("result_too_large", f"A result may have at most {self._max_bytes:,} bytes.")
        self._buffer += data
        while len(self._buffer) >= PART_BYTES:
            await self._keep(PART_BYTES)

    async def close(self) -> None:
        """Stores the rest."""
        if self._buffer:
            await self._keep(len(self._buffer))

    async def _keep(self, length: int) -> None:
        data = bytes(self._buffer[:length])
        del self._buffer[:length]
        await store.keep_part(self._pool, self._job, self._parts, data)
        self._parts += 1
