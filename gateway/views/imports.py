"""Imports as the API shows them, and the errors of their rows."""

import re
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.views.jobs import JobRow, JobView
from gateway.web import API
from gateway.web.pages import Page, decode_cursor, page_of
from runtime.listings.headers import SEPARATORS
from runtime.tables import job_rows

_LINE = re.compile(r"[0-9]{1,18}")


RowOutcome = Literal["created", "changed", "unchanged", "rejected", "left_aside"]


class ImportView(JobView):
    """An import. `rows` have been read so far. Of these, `applied` changed something (in a dry run: would), of which
    `created` made a product or variant and `changed` changed one; `unchanged` changed nothing; `rejected` are listed at
    `errors_url`, up to `errors_kept` of them; and `left_aside` are not for this shop (another language, or a kind it
    does not have). `rows_url` lists the rows by outcome. `encoding` and `separator` are as requested or as detected;
    the `ignored_columns` were not read."""

    dry_run: bool
    format: Literal["csv", "jsonl"]
    size_bytes: int
    encoding: str | None = None
    separator: str | None = None
    ignored_columns: list[str] = Field(default_factory=list)
    rows: int = 0
    applied: int = 0
    created: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: int = 0
    left_aside: int = 0
    categories_created: int = 0
    errors_kept: int = 0
    errors_url: str
    rows_url: str


class RowErrorView(BaseModel):
    """What was wrong with a row: `line` is the line of the file, from 1, on which it begins; `column` is the column at
    fault, if any, by its name in the file."""

    line: int
    code: str
    detail: str
    column: str | None = None


class ChangeView(BaseModel):
    """What a row changes: the value of a column before and after. Long texts are cut."""

    column: str
    before: Any = None
    after: Any = Field(None, description="What it is then; long texts are cut.")


class RowView(BaseModel):
    """The outcome of a row, or in a dry run what it would be: `changes` lists what it changes; `code`, `detail` and
    `column` tell why it was rejected."""

    line: int
    outcome: RowOutcome
    slug: str | None = None
    sku: str | None = None
    changes: list[ChangeView] = Field(default_factory=list)
    code: str | None = None
    detail: str | None = None
    column: str | None = None


def url(import_id: object) -> str:
    return f"{API}/imports/{import_id}"


_SEPARATOR_NAMES = {character: name for name, character in SEPARATORS.items()}
_COUNTS = ("rows", "applied", "created", "unchanged", "rejected", "left_aside", "categories_created", "errors_kept")


def shown(job: JobRow) -> ImportView:
    """The import; while it runs, its counts are those of its last checkpoint."""
    said: dict[str, Any] = job.summary if job.succeeded else job.checkpoint or {}
    counts: dict[str, int] = {name: said.get(name, 0) for name in _COUNTS}
    return ImportView(
        **job.common(),
        **{name: job.params[name] for name in ("dry_run", "format", "size_bytes")},
        **counts,
        changed=counts["applied"] - counts["created"],
        encoding=said.get("encoding", job.params.get("encoding")),
        separator=_SEPARATOR_NAMES.get(said.get("separator") or "", said.get("separator")),
        ignored_columns=said.get("ignored_columns", []),
        errors_url=f"{url(job.id)}/errors",
        rows_url=f"{url(job.id)}/rows",
    )


async def errors(connection: AsyncConnection, import_id: UUID, cursor: str | None, limit: int) -> Page[RowErrorView]:
    """The rows of an import that were rejected, in the order of their lines."""
    found = [
        RowErrorView(line=row.line, code=row.code or "", detail=row.detail or "", column=row.column)
        for row in await _rows(connection, import_id, "rejected", cursor, limit)
    ]
    return page_of(found, limit, lambda error: str(error.line))


async def rows(
    connection: AsyncConnection, import_id: UUID, outcome: RowOutcome | None, cursor: str | None, limit: int
) -> Page[RowView]:
    """What became of an import's rows, in the order of their lines."""
    return page_of(await _rows(connection, import_id, outcome, cursor, limit), limit, lambda row: str(row.line))


async def _rows(
    connection: AsyncConnection, import_id: UUID, outcome: RowOutcome | None, cursor: str | None, limit: int
) -> list[RowView]:
    """The rows after the cursor, and one more than `limit` if there are more."""
    query = (
        sa.select(job_rows.c.line, job_rows.c.outcome, job_rows.c.code, job_rows.c.detail, job_rows.c.particulars)
        .where(job_rows.c.job_id == import_id)
        .order_by(job_rows.c.line)
        .limit(limit + 1)
    )
    if outcome is not None:
        query = query.where(job_rows.c.outcome == outcome)
    if cursor is not None:
        query = query.where(job_rows.c.line > decode_cursor(cursor, _line))
    return [
        RowView(line=line, outcome=became, code=code or None, detail=detail or None, **particulars)
        for line, became, code, detail, particulars in await connection.execute(query)
    ]


def _line(key: str) -> int:
    if not _LINE.fullmatch(key):
        raise ValueError(f"{key!r} is no line of a file")
    return int(key)
