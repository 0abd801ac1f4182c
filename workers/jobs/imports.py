"""Imports: a listing, as CSV or JSON Lines, brought into the shop by commands, one a row; the domain decides each.

The file is read in windows of rows. A window's commands are posted together, with an idempotency key for each line,
and awaited; then its errors are kept, and a checkpoint behind its last line. A run that broke off in the middle of a
window plans it again, alike, and what was posted before is told by its key: each row is applied once. However long the
file, no more than a window is in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from domain.catalogue import ListingUnchanged
from domain.jobs import IMPORT
from domain.limits import is_text
from domain.model import Who
from domain.stock import StockUnchanged
from runtime.listings.columns import CSV
from runtime.listings.encodings import UTF_8
from runtime.listings.headers import BadHeader, Header, columns_of, is_column
from runtime.listings.records import Record
from runtime.listings.rows import BadRow, Row, read_cells, read_json
from runtime.mailboxes.sender import Settled, wait_for_outcomes
from runtime.records import APPLIED
from workers.jobs.core import Job, JobFailed, Tools, WorkersAway, job, upload_incomplete
from workers.jobs.planning import Planned, Window, known_of
from workers.jobs.rehearsal import Rehearsal
from workers.jobs.uploads import Upload

# A window ends with so many bytes of rows, too: two thousand descriptions of the longest kind are much to keep.
_WINDOW_MAX_BYTES: Final = 4_194_304
# For a mailbox that is full, or a Redis that is away.
_PATIENCE_SECONDS: Final = 60.0
_DETAIL_MAX_CHARS: Final = 500

_UNCHANGED: Final = frozenset({ListingUnchanged.type, StockUnchanged.type})

# The column that a refusal is about.
_COLUMN_OF_CODE: Final = {
    "slug_taken": "slug",
    "product_not_found": "slug",
    "unknown_category": "category",
    "sku_taken": "sku",
    "unknown_sku": "sku",
    "insufficient_stock": "on_hand",
    "stock_limit_exceeded": "on_hand",
}


class Params(msgspec.Struct, frozen=True):
    """What was asked for: `format` is one of `listings.columns`, `encoding` (if it was named) one of `encodings`."""

    format: str
    size_bytes: int
    dry_run: bool
    encoding: str | None = None


class Progress(msgspec.Struct):
    """How far an import is, and what came of its rows: its checkpoint, and in the end its summary. The next row begins
    at `offset` (bytes of the file in UTF-8) and `line`. Of those `rejected`, `errors_kept` can be looked at one by one.
    """

    offset: int = 0
    line: int = 1
    rows: int = 0
    applied: int = 0
    unchanged: int = 0
    rejected: int = 0
    errors_kept: int = 0
    encoding: str = UTF_8


class RowError(NamedTuple):
    """What was wrong with the row that begins on a line."""

    line: int
    code: str
    detail: str
    column: str | None

    @property
    def shown(self) -> str:
        """The detail as it can be kept: it may repeat what the file says, which may be long, and no text."""
        return "".join(char if is_text(char) else "\ufffd" for char in self.detail[:_DETAIL_MAX_CHARS])


@job(IMPORT)
async def run(job: Job, tools: Tools) -> dict[str, object]:
    """Brings the uploaded file in. Returns what came of its rows."""
    params = msgspec.convert(job.params, Params)
    who = Who(job.requested_by, staff=True)
    upload = await Upload.opened(tools, params.format, params.encoding)
    header, columns = await _header(params, upload)
    begin = Progress(encoding=upload.encoding)
    if job.checkpoint is not None:
        begin = msgspec.convert(job.checkpoint, Progress)
    elif header is not None:
        begin = Progress(header.next_offset, header.next_line, encoding=upload.encoding)
    await _forget_errors(job, tools, begin.line)
    with Rehearsal(tools.pool, job.id, who) if params.dry_run else nullcontext() as rehearsal:
        importer = Importer(job, tools, params, upload, header, columns, begin, rehearsal, who)
        await importer.run()
    if upload.read_bytes != params.size_bytes:
        raise upload_incomplete()
    return {"dry_run": params.dry_run, **msgspec.to_builtins(importer.progress)}


async def _header(params: Params, upload: Upload) -> tuple[Header | None, tuple[str, ...]]:
    """What a CSV file says of itself, and its columns; lines of JSON say nothing."""
    if params.format != CSV:
        return None, ()
    try:
        header = await upload.header(is_column, None)
        return header, columns_of(header)
    except BadHeader as error:
        raise JobFailed("bad_header", str(error)) from None


class Importer:
    """One run of an import. With a rehearsal, nothing is applied."""

    def __init__(
        self,
        job: Job,
        tools: Tools,
        params: Params,
        upload: Upload,
        header: Header | None,
        columns: Sequence[str],
        progress: Progress,
        rehearsal: Rehearsal | None,
        who: Who,
    ) -> None:
        self.progress = progress
        self._job = job
        self._tools = tools
        self._params = params
        self._upload = upload
        self._header = header
        self._columns = columns
        self._rehearsal = rehearsal
        self._who = who

    async def run(self) -> None:
        """Window after window, to the file's end."""
        self._tools.progress(self._upload.read_bytes, self._params.size_bytes)
        async for records in self._windows():
            await self._take(records)
            self._tools.progress(self._upload.read_bytes, self._params.size_bytes)
            if self._rehearsal is None:
                await self._tools.checkpoint(msgspec.to_builtins(self.progress))

    async def _windows(self) -> AsyncIterator[list[Record]]:
        at = self.progress
        window: list[Record] = []
        size = 0
        async for record in self._upload.records(self._header, offset=at.offset, line=at.line):
            window.append(record)
            size += len(record.data)
            if len(window) == self._tools.config.import_window_rows or size >= _WINDOW_MAX_BYTES:
                yield window
                window, size = [], 0
        if window:
            yield window

    async def _take(self, records: Sequence[Record]) -> None:
        """Has the rows of a window applied, and counts what came of them."""
        errors: list[RowError] = []
        rows: list[tuple[Record, Row]] = []
        for record in records:
            try:
                if not record.blank:
                    self.progress.rows += 1
                    rows.append((record, self._read(record)))
            except BadRow as bad:
                errors.append(RowError(record.line, bad.code, bad.detail, bad.column))
        planned = await self._plan(rows, errors)
        for row, settled in zip(planned, await self._settle(planned), strict=True):
            if settled.status != APPLIED:
                code, detail = settled.code or settled.status, settled.detail or ""
                errors.append(RowError(row.line, code, detail, _COLUMN_OF_CODE.get(code)))
            elif settled.type in _UNCHANGED:
                self.progress.unchanged += 1
            else:
                self.progress.applied += 1
        await self._keep(errors)
        self.progress.offset, self.progress.line = records[-1].next_offset, records[-1].next_line

    def _read(self, record: Record) -> Row:
        if record.problem is not None:
            raise BadRow(*record.problem)
        return read_cells(self._columns, record.cells) if self._params.format == CSV else read_json(record.data)

    async def _plan(self, rows: Sequence[tuple[Record, Row]], errors: list[RowError]) -> list[Planned]:
        """The commands of the rows, in the order of their lines; what makes no sense goes to the errors."""
        said = [row for _, row in rows]
        known = await (self._rehearsal.known(said) if self._rehearsal else known_of(self._tools.pool, said))
        window = Window(self._job.id, known)
        planned: list[Planned] = []
        for record, row in rows:
            try:
                planned.append(window.plan(record.line, record.data, row))
            except BadRow as bad:
                errors.append(RowError(record.line, bad.code, bad.detail, bad.column))
            except ValueError as error:  # with what was there before, it is nothing that the domain takes
                errors.append(RowError(record.line, "invalid_value", f"{error}.", None))
        return planned

    async def _settle(self, planned: Sequence[Planned]) -> list[Settled]:
        """What became of each command, in their order; or what would, in a dry run."""
        if self._rehearsal is not None:
            return await self._rehearsal.settle(planned)
        settled: dict[int, Settled] = {}
        wave_of = attrgetter("wave")
        for _, wave in groupby(sorted(planned, key=wave_of), key=wave_of):
            settled |= await self._apply(list(wave))
        return [settled[row.line] for row in planned]

    async def _apply(self, wave: Sequence[Planned]) -> dict[int, Settled]:
        """Posts the commands side by side and waits for what becomes of them; by line."""
        ids = await asyncio.gather(
            *(
                self._tools.sender.send(
                    row.command,
                    self._who,
                    key=f"import:{self._job.id}:{row.line}",
                    fingerprint=row.fingerprint,
                    remembered=False,
                    patience_seconds=_PATIENCE_SECONDS,
                )
                for row in wave
            )
        )
        outcomes = await wait_for_outcomes(self._tools.pool, ids)
        if len(outcomes) < len(ids):
            raise WorkersAway(f"{len(ids) - len(outcomes)} of {len(ids)} rows have no outcome yet")
        return {row.line: outcomes[command_id] for row, command_id in zip(wave, ids, strict=True)}

    async def _keep(self, errors: Sequence[RowError]) -> None:
        """Counts all errors, and keeps as many as may be kept, those of the first lines."""
        self.progress.rejected += len(errors)
        kept = sorted(errors)[: max(0, self._tools.config.import_errors_max - self.progress.errors_kept)]
        if kept:
            await self._tools.pool.executemany(
                """
                INSERT INTO job_errors (job_id, line, code, detail, particulars) VALUES ($1, $2, $3, $4, $5::jsonb)
                ON CONFLICT DO NOTHING
                """,
                [(self._job.id, e.line, e.code, e.shown, _particulars(e)) for e in kept],
            )
        self.progress.errors_kept += len(kept)


def _particulars(error: RowError) -> str:
    return msgspec.json.encode({} if error.column is None else {"column": error.column}).decode()


async def _forget_errors(job: Job, tools: Tools, line: int) -> None:
    """What a run that broke off noted from that line on is looked at anew, and the shop may be another meanwhile."""
    await tools.pool.execute("DELETE FROM job_errors WHERE job_id = $1 AND line >= $2", job.id, line)
