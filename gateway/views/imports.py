"""Imports as the API shows them, and the errors of their rows."""

import re
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.pages import Page, decode_cursor, page_of
from gateway.routes import API
from gateway.views.jobs import JobRow, JobView
from runtime.tables import job_errors

_LINE = re.compile(r"[0-9]{1,18}")


class ImportView(JobView):
    """An import. `rows` have been read so far; of these `applied` changed something (in a dry run: would), `unchanged`
    said nothing new, and `rejected` are listed at `errors_url`, as far as `errors_kept` goes. `encoding` is what the
    file was read in: as it was named, or as it seemed to be."""

    dry_run: bool
    format: Literal["csv", "jsonl"]
    size_bytes: int
    encoding: str | None = None
    rows: int = 0
    applied: int = 0
    unchanged: int = 0
    rejected: int = 0
    errors_kept: int = 0
    errors_url: str


class RowErrorView(BaseModel):
    """What was wrong with a row: `line` is the line of the file, from 1, that it begins on; `column` the one to blame,
    if there is one."""

    line: int
    code: str
    detail: str
    column: str | None = None


def url(import_id: object) -> str:
    return f"{API}/imports/{import_id}"


def shown(job: JobRow) -> ImportView:
    """The import; while it runs, its counts are those of its last checkpoint."""
    counts: dict[str, Any] = job.summary if job.succeeded else job.checkpoint or {}
    return ImportView(
        **job.common(),
        **{name: job.params[name] for name in ("dry_run", "format", "size_bytes")},
        encoding=counts.get("encoding", job.params.get("encoding")),
        **{name: counts.get(name, 0) for name in ("rows", "applied", "unchanged", "rejected", "errors_kept")},
        errors_url=f"{url(job.id)}/errors",
    )


async def errors(connection: AsyncConnection, import_id: UUID, cursor: str | None, limit: int) -> Page[RowErrorView]:
    """The errors of an import, in the order of the lines."""
    query = (
        sa.select(job_errors.c.line, job_errors.c.code, job_errors.c.detail, job_errors.c.particulars)
        .where(job_errors.c.job_id == import_id)
        .order_by(job_errors.c.line)
        .limit(limit + 1)
    )
    if cursor is not None:
        query = query.where(job_errors.c.line > decode_cursor(cursor, _line))
    found = [
        RowErrorView(line=line, code=code, detail=detail, column=particulars.get("column"))
        for line, code, detail, particulars in await connection.execute(query)
    ]
    return page_of(found, limit, lambda error: str(error.line))


def _line(key: str) -> int:
    if not _LINE.fullmatch(key):
        raise ValueError(f"{key!r} is no line of a file")
    return int(key)
