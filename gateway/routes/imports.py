"""Imports: a file is sent, a job brings it in, and one may look how far it is and what was wrong. Admins only."""

from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from domain.jobs import IMPORT, RequestJob
from gateway.apidocs.responses import WRITE_HEADERS, AcceptedView, headers, problems, read
from gateway.edge import Edge, edge_of
from gateway.identity.caller import Caller
from gateway.identity.requirements import require_role
from gateway.views import imports as views
from gateway.views import jobs
from gateway.views.imports import ImportView, RowErrorView, RowOutcome, RowView
from gateway.views.jobs import JobRow
from gateway.web import API
from gateway.web.pages import Page, made_key, page_of
from gateway.web.problems import Problem
from gateway.writing.import_layout import LayoutQuery, layout_of, layout_query
from gateway.writing.job_limit import check_room
from gateway.writing.submit import Accepted, ask
from runtime.listings.columns import COLUMNS, CSV, FORMATS
from runtime.listings.encodings import ENCODINGS, UTF_8, encoding_of_label, head_as_utf8
from runtime.listings.headers import BadHeader, find_header
from runtime.listings.layout import Layout
from runtime.listings.sheets import Sheet, knows

router = APIRouter(prefix=f"{API}/imports", tags=["imports"])

Admin = Annotated[Caller, Depends(require_role("admin", "imports:write"))]

# An import is asked for in a moment; bringing it in is what takes its time.
_WAIT_SECONDS: Final = 5

_EXAMPLE: Final = ",".join(COLUMNS) + (
    "\r\nlantern,White metal lantern,For four tea lights,garden,active,LANTERN-WHITE,,339,GBP,,850,,,true,40\r\n"
)
_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {"schema": {"type": "string", "examples": [_EXAMPLE]}},
            "application/x-ndjson": {"schema": {"type": "string"}},
            "application/jsonl": {"schema": {"type": "string"}},
        },
    }
}


@router.post(
    "",
    status_code=202,
    response_model=AcceptedView,
    responses={
        202: {"description": "The file is stored and will be imported.", **headers("Location")},
        **problems(
            *(400, 401, 403, 413, 415, 422, 500, 503, "upload_stalled", "bad_header", "too_many_jobs", "uploads_busy"),
            *("idempotency_key_reused", "mailbox_full", "gateway_busy", "mailboxes_unavailable"),
        ),
    },
    openapi_extra={**_BODY, "parameters": WRITE_HEADERS},
)
async def request_import(
    request: Request,
    caller: Admin,
    said: Annotated[LayoutQuery, Depends(layout_query)],
    dry_run: Annotated[bool, Query(description="Show the outcome of each row without changing anything.")] = False,
) -> Response:
    """Imports a file of products, variants and stock in the background. 202 and the URL of its status.

    CSV with a header line, or JSON Lines, with the columns of `/exports/products.csv`. A row with a `slug` and a `name`
    sets the product; with a `sku` and a price, the variant; with `on_hand`, the counted stock. Fields without a
    column stay as they are. A row that cannot be applied is listed in the import's errors, with its line; the others
    are applied, each once.

    CSV may have any common separator and line endings, and be in UTF-8, UTF-16, Windows-1250 to 1252 or Mac Roman: the
    `charset` of the Content-Type names the encoding; otherwise it is detected and shown. A `preset` reads the exports
    of another shop system, a `mapping` of columns any other file; a dry run shows the outcome of each row.
    """
    edge, actor = edge_of(request), caller.actor
    form, encoding = _format(request)
    layout = layout_of(said)
    job_id = edge.submitter.new_resource_id(ask(request, actor, b""))
    await check_room(edge.engine, actor.principal, max_unfinished=edge.config.jobs_max_unfinished)
    upload = await edge.uploads.keep(
        request, job_id, partial(_check_header, encoding, layout) if form == CSV else _check_nothing
    )
    params: dict[str, Any] = {"format": form, "dry_run": dry_run, "encoding": encoding}
    params["layout"] = msgspec.to_builtins(layout)
    asked = ask(request, actor, msgspec.json.encode(params) + upload.digest, wait_seconds=_WAIT_SECONDS)
    params["size_bytes"] = upload.size_bytes
    try:
        accepted = await edge.submitter.submit(asked, RequestJob(job_id, IMPORT, params), str(job_id))
    except Problem as problem:
        if problem.code != "mailboxes_unavailable":  # else the job may be on its way, and needs its file
            await edge.uploads.forget(job_id)
        raise
    if accepted.replayed:
        await edge.uploads.forget(job_id)
    return accepted.response() if accepted.outcome is None else _requested(accepted)


@router.get("", response_model=Page[ImportView], responses=read())
async def list_imports(
    request: Request,
    caller: Admin,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1)] = 20,
) -> Response:
    """Your imports, newest first. `limit` is capped at the maximum page size."""
    edge = edge_of(request)
    limit = min(limit, edge.config.page_max_rows)
    async with edge.engine.connect() as connection:
        found = await jobs.newest(connection, IMPORT, caller.actor.principal, cursor, limit)
    page = page_of([views.shown(job) for job in found], limit, lambda job: made_key(job.requested_at, job.id))
    return Response(page.model_dump_json(), media_type="application/json")


@router.get("/{import_id}", response_model=ImportView, responses=read())
async def get_import(request: Request, caller: Admin, import_id: UUID) -> Response:
    """The progress of an import, and counts of its rows by outcome."""
    job = await _find(edge_of(request), import_id)
    return Response(views.shown(job).model_dump_json(), media_type="application/json")


@router.get("/{import_id}/errors", response_model=Page[RowErrorView], responses=read())
async def list_import_errors(
    request: Request,
    caller: Admin,
    import_id: UUID,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1)] = 100,
) -> Response:
    """The rejected rows, in file order. `limit` is capped at the maximum page size."""
    edge = edge_of(request)
    await _find(edge, import_id)
    async with edge.engine.connect() as connection:
        page = await views.errors(connection, import_id, cursor, min(limit, edge.config.page_max_rows))
    return Response(page.model_dump_json(), media_type="application/json")


@router.get("/{import_id}/rows", response_model=Page[RowView], responses=read())
async def list_import_rows(
    request: Request,
    caller: Admin,
    import_id: UUID,
    outcome: Annotated[RowOutcome | None, Query(description="Only the rows with this outcome.")] = None,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1)] = 100,
) -> Response:
    """The outcome of each row, in file order; for a dry run, what it would be. Once an import is applied, only the rows
    that were rejected or left aside are kept. `limit` is capped at the maximum page size."""
    edge = edge_of(request)
    await _find(edge, import_id)
    async with edge.engine.connect() as connection:
        page = await views.rows(connection, import_id, outcome, cursor, min(limit, edge.config.page_max_rows))
    return Response(page.model_dump_json(), media_type="application/json")


def _format(request: Request) -> tuple[str, str | None]:
    """The format that the Content-Type says, and the encoding, if it says which. Raises a 415 Problem."""
    media_type, *parameters = request.headers.get("content-type", "").lower().split(";")
    form = FORMATS.get(media_type.strip())
    said = dict(parameter.strip().partition("=")[::2] for parameter in parameters)
    charset = said.get("charset")
    encoding = None if charset is None else encoding_of_label(charset)
    readable = encoding is not None if form == CSV else encoding == UTF_8
    if (
        form is None
        or not (charset is None or readable)
        or request.headers.get("content-encoding", "identity") != "identity"
    ):
        accepted = ", ".join(FORMATS)
        detail = f"Send {accepted}; lines of JSON as UTF-8, and CSV as one of {', '.join(ENCODINGS)}."
        raise Problem("unsupported_media_type", detail, headers={"Accept": accepted})
    return form, encoding


def _check_header(encoding: str | None, layout: Layout, first_part: bytes) -> None:
    try:
        header = find_header(head_as_utf8(first_part, encoding), knows(layout), layout.separator)
        Sheet(header.names, layout, max_remembered=0)
    except BadHeader as error:
        raise Problem("bad_header", str(error), headers={"Connection": "close"}) from None


def _check_nothing(first_part: bytes) -> None:
    """A file of JSON Lines has nothing but rows."""


def _requested(accepted: Accepted) -> Response:
    """202: the import is there, and where to see how far it is."""
    url = views.url(accepted.resource)
    body = AcceptedView(id=accepted.resource, command_id=str(accepted.command_id), status_url=url)
    sent = {"Location": url, **accepted.headers()}
    return Response(body.model_dump_json(exclude_none=True), 202, sent, "application/json")


async def _find(edge: Edge, import_id: UUID) -> JobRow:
    async with edge.engine.connect() as connection:
        job = await jobs.find(connection, IMPORT, import_id, owner=None)
    if job is None:
        raise Problem("not_found", "There is no such import.")
    return job
