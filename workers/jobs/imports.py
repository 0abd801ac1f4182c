"""Imports: a listing, as CSV or JSON Lines, is turned into commands, one per row; the domain decides each.

The file is read in windows of rows. A window's commands are posted in portions (see `pacing.py`), with an idempotency
key for each line, and awaited; then its rows' outcomes are saved, and a checkpoint after its last line. A run that
follows an interrupted one plans that window again, identically, and commands already posted are recognised by their
keys: each row is applied once. However long the file, only one window is in memory; for another system's file also
which of its rows make one product (see `runtime/listings/presets`), for which it is read twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from itertools import groupby
from operator import attrgetter
from typing import Final

import msgspec

from domain.categories import CreateCategory
from domain.jobs import IMPORT
from domain.model import Actor, Command
from domain.roles import STAFF
from runtime.listings.columns import CSV
from runtime.listings.encodings import UTF_8
from runtime.listings.headers import BadHeader, Header
from runtime.listings.layout import Layout
from runtime.listings.presets.base import Aside, TooMuchToRemember
from runtime.listings.records import Record
from runtime.listings.rows import BadRow, Row, read_json
from runtime.listings.sheets import Sheet, knows
from runtime.mailboxes.sender import Settled, wait_for_outcomes
from runtime.records import APPLIED
from workers.failures import Away
from workers.jobs import row_outcomes
from workers.jobs.category_paths import CategoryTree, Path, created, fingerprint
from workers.jobs.dry_run import DryRun, RowEffect
from workers.jobs.kinds import Job, JobFailed, Tools, job, upload_incomplete
from workers.jobs.pacing import Pace
from workers.jobs.planning import Known, Planned, Window, known_of, tree_of
from workers.jobs.row_outcomes import CREATED, LEFT_ASIDE, REJECTED, UNCHANGED, Note, outcome_of
from workers.jobs.uploads import Upload

# A window is also limited in bytes: two thousand descriptions of the greatest length would take too much memory.
_WINDOW_MAX_BYTES: Final = 4_194_304
# For a full mailbox, or while Redis is unavailable.
_PATIENCE_SECONDS: Final = 60.0

_NOT_TAKEN: Final = frozenset({REJECTED, LEFT_ASIDE})
_line_of = attrgetter("line")

# The column that a rejection is about.
_COLUMN_OF_CODE: Final = {
    "slug_taken": "slug",
    "product_not_found": "slug",
    "unknown_category": "category",
    "sku_taken": "sku",
    "variant_not_found": "sku",
    "price_list_not_found": "price_list",
    "too_many_prices": "price_list",
    "unknown_sku": "sku",
    "insufficient_stock": "on_hand",
    "stock_limit_exceeded": "on_hand",
}


class Params(msgspec.Struct, frozen=True):
    """The request: `format` is one of `listings.columns`, `encoding` (if named) one of `encodings`."""

    format: str
    size_bytes: int
    dry_run: bool
    encoding: str | None = None
    layout: Layout = Layout()


class Progress(msgspec.Struct):
    """How far an import has come, and counts of its rows by outcome: its checkpoint, and in the end its summary. The
    next row begins at `offset` (bytes of the file in UTF-8) and `line`. `applied` counts those `created` and those
    changed; of the rejected and left aside, `errors_kept` can be listed, and of the others, in a dry run,
    `outcomes_kept`.
    """

    offset: int = 0
    line: int = 1
    rows: int = 0
    applied: int = 0
    created: int = 0
    unchanged: int = 0
    rejected: int = 0
    left_aside: int = 0
    categories_created: int = 0
    errors_kept: int = 0
    outcomes_kept: int = 0
    encoding: str = UTF_8
    separator: str | None = None
    ignored_columns: Sequence[str] = ()


@job(IMPORT)
async def run(job: Job, tools: Tools) -> dict[str, object]:
    """Imports the uploaded file. Returns the counts of its rows by outcome."""
    params = msgspec.convert(job.params, Params)
    actor = Actor.in_role(job.requested_by, STAFF)
    upload = await Upload.opened(tools, params.format, params.encoding)
    header, sheet = await _sheet(params, upload, tools)
    begin = Progress(encoding=upload.encoding)
    if job.checkpoint is not None:
        begin = msgspec.convert(job.checkpoint, Progress)
    elif header is not None and sheet is not None:
        begin = Progress(
            header.next_offset,
            header.next_line,
            encoding=upload.encoding,
            separator=header.separator,
            ignored_columns=sheet.ignored,
        )
    await row_outcomes.forget(tools.pool, job, begin.line)
    with DryRun(tools.pool, job.id, actor) if params.dry_run else nullcontext() as dry_run:
        importer = Importer(job, tools, params, upload, header, sheet, begin, dry_run, actor)
        await importer.run()
    if upload.read_bytes != params.size_bytes:
        raise upload_incomplete()
    return {"dry_run": params.dry_run, **msgspec.to_builtins(importer.progress)}


async def _sheet(params: Params, upload: Upload, tools: Tools) -> tuple[Header | None, Sheet | None]:
    """How a CSV file is laid out, and how to read its rows; JSON Lines need neither."""
    if params.format != CSV:
        return None, None
    try:
        header = await upload.header(knows(params.layout), params.layout.separator)
        sheet = Sheet(header.names, params.layout, tools.config.import_products_max)
    except BadHeader as error:
        raise JobFailed("bad_header", str(error)) from None
    if sheet.must_be_surveyed:
        try:
            async for record in upload.records(header, offset=header.next_offset, line=header.next_line):
                if record.problem is None and not record.blank:
                    sheet.survey(record.line, record.cells)
        except TooMuchToRemember:
            most = f"{tools.config.import_products_max:,}"
            raise JobFailed("too_many_products", f"With a preset, a file may have at most {most} products.") from None
    return header, sheet


class Importer:
    """One run of an import. In a dry run, nothing is applied."""

    def __init__(
        self,
        job: Job,
        tools: Tools,
        params: Params,
        upload: Upload,
        header: Header | None,
        sheet: Sheet | None,
        progress: Progress,
        dry_run: DryRun | None,
        actor: Actor,
    ) -> None:
        self.progress = progress
        self._job = job
        self._tools = tools
        self._params = params
        self._upload = upload
        self._header = header
        self._sheet = sheet
        self._dry_run = dry_run
        self._actor = actor
        self._pace = Pace(tools.config.import_portion_seconds)

    async def run(self) -> None:
        """Imports window after window, to the end of the file."""
        self._tools.progress(self._upload.read_bytes, self._params.size_bytes)
        async for records in self._windows():
            await self._take(records)
            self._tools.progress(self._upload.read_bytes, self._params.size_bytes)
            if self._dry_run is None:
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
        """Has a window's rows applied, and counts the outcomes."""
        notes: list[Note] = []
        rows: list[tuple[Record, Row]] = []
        for record in records:
            try:
                if not record.blank:
                    self.progress.rows += 1
                    rows.append((record, self._read(record)))
            except BadRow as bad:
                notes.append(Note(record.line, REJECTED, bad.code, bad.detail, bad.column))
            except Aside as aside:
                notes.append(Note(record.line, LEFT_ASIDE, LEFT_ASIDE, str(aside)))
        planned = await self._plan(rows, notes)
        said = {record.line: row for record, row in rows}
        for row, (settled, changes) in zip(planned, await self._settle(planned), strict=True):
            outcome = outcome_of(settled.type) if settled.status == APPLIED else REJECTED
            code, detail, column = "", "", None
            if outcome == REJECTED:
                code, detail = settled.code or settled.status, settled.detail or ""
                column = self._column(_COLUMN_OF_CODE.get(code))
            notes.append(
                Note(row.line, outcome, code, detail, column, said[row.line].slug, said[row.line].sku, changes)
            )
        await self._note(notes)
        self.progress.offset, self.progress.line = records[-1].next_offset, records[-1].next_line

    def _read(self, record: Record) -> Row:
        if record.problem is not None:
            raise BadRow(*record.problem)
        return read_json(record.data) if self._sheet is None else self._sheet.read(record.line, record.cells)

    def _column(self, field: str | None) -> str | None:
        """The file's name for a field."""
        return field if self._sheet is None else self._sheet.column_of(field)

    async def _plan(self, rows: Sequence[tuple[Record, Row]], notes: list[Note]) -> list[Planned]:
        """The rows' commands, in the order of their lines; rows that make no sense go to the notes."""
        said = [row for _, row in rows]
        known = await (self._dry_run.known(said) if self._dry_run else known_of(self._tools.pool, said))
        window = Window(self._job.id, await self._with_paths(known, said))
        planned: list[Planned] = []
        for record, row in rows:
            try:
                planned.append(window.plan(record.line, record.data, row))
            except BadRow as bad:
                column = self._column(bad.column)
                notes.append(Note(record.line, REJECTED, bad.code, bad.detail, column, row.slug, row.sku))
            except ValueError as error:  # the domain refuses it in combination with the existing state
                notes.append(Note(record.line, REJECTED, "invalid_value", f"{error}.", None, row.slug, row.sku))
        return planned

    async def _with_paths(self, known: Known, rows: Sequence[Row]) -> Known:
        """With the categories at the paths that the rows name; those that are missing are created, if that was asked
        for."""
        paths = {path: None for row in rows if (path := row.category_path or None)}
        if not paths:
            return known
        tree = await tree_of(self._tools.pool)
        for category in self._dry_run.categories.values() if self._dry_run else ():
            tree.add(category)
        refused: dict[Path, tuple[str, str]] = {}
        for path in paths if self._params.layout.create_categories else ():
            for command in tree.missing(path, self._job.id):
                settled = await self._create(tree, command)
                if settled.status != APPLIED:
                    refused[path] = settled.code or settled.status, settled.detail or ""
                    break
                tree.add(created(command))
                self.progress.categories_created += 1
        found = {path: category_id for path in paths if (category_id := tree.find(path)) is not None}
        return msgspec.structs.replace(known, paths=found, refused=refused)

    async def _create(self, tree: CategoryTree, command: CreateCategory) -> Settled:
        if self._dry_run is not None:
            return await self._dry_run.create(tree, command)
        key = f"import:{self._job.id}:category:{command.category_id}"
        (settled,) = await self._send([(command, key, fingerprint(command))])
        return settled

    async def _settle(self, planned: Sequence[Planned]) -> list[RowEffect]:
        """The outcome of each command, in order; in a dry run, what it would be."""
        if self._dry_run is not None:
            return await self._dry_run.settle(planned)
        settled: dict[int, Settled] = {}
        wave_of = attrgetter("wave")
        for _, wave in groupby(sorted(planned, key=wave_of), key=wave_of):
            for rows in self._pace.portions(list(wave)):
                outcomes = await self._send(
                    [(row.command, f"import:{self._job.id}:{row.line}", row.fingerprint) for row in rows]
                )
                settled |= {row.line: outcome for row, outcome in zip(rows, outcomes, strict=True)}
        return [RowEffect(settled[row.line], ()) for row in planned]

    async def _send(self, commands: Sequence[tuple[Command, str, bytes]]) -> list[Settled]:
        """Posts the commands concurrently, each with its key and fingerprint, and waits for their outcomes."""
        ids = await asyncio.gather(
            *(
                self._tools.sender.send(
                    command,
                    self._actor,
                    key=key,
                    fingerprint=digest,
                    remembered=False,
                    patience_seconds=_PATIENCE_SECONDS,
                )
                for command, key, digest in commands
            )
        )
        outcomes = await wait_for_outcomes(self._tools.pool, ids)
        if len(outcomes) < len(ids):
            raise Away(f"{len(ids) - len(outcomes)} of {len(ids)} rows have no outcome yet")
        return [outcomes[command_id] for command_id in ids]

    async def _note(self, notes: Sequence[Note]) -> None:
        """Counts all notes and keeps those of the first lines, up to the limit: of rows that were rejected or left
        aside, and in a dry run of the others."""
        counted, config = self.progress, self._tools.config
        not_taken = sorted((note for note in notes if note.outcome in _NOT_TAKEN), key=_line_of)
        taken = sorted((note for note in notes if note.outcome not in _NOT_TAKEN), key=_line_of)
        aside = sum(note.outcome == LEFT_ASIDE for note in not_taken)
        unchanged = sum(note.outcome == UNCHANGED for note in taken)
        counted.left_aside += aside
        counted.rejected += len(not_taken) - aside
        counted.unchanged += unchanged
        counted.applied += len(taken) - unchanged
        counted.created += sum(note.outcome == CREATED for note in taken)
        errors = not_taken[: max(0, config.import_errors_max - counted.errors_kept)]
        told = taken[: max(0, config.import_row_outcomes_max - counted.outcomes_kept)] if self._params.dry_run else []
        if errors or told:
            await row_outcomes.keep(self._tools.pool, self._job, [*errors, *told])
        counted.errors_kept += len(errors)
        counted.outcomes_kept += len(told)
