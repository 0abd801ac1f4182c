"""Reports: asked for, looked at, and read when they are done. Staff only; each sees their own, admins everyone's."""

from collections.abc import AsyncIterator
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field, field_validator, model_validator

from domain.jobs import REPORT, RequestJob
from domain.limits import REPORT_MAX_DAYS
from domain.orders import CONFIRMED, FULFILLED
from gateway.apidocs.responses import WRITE_HEADERS, headers, read, write
from gateway.edge import Edge, edge_of
from gateway.identity.caller import Caller
from gateway.identity.requirements import require_role
from gateway.views import jobs
from gateway.views import reports as views
from gateway.views.jobs import JobRow
from gateway.views.reports import By, Format, Kind, ReportView, Status
from gateway.web import API
from gateway.web.fields import Day
from gateway.web.pages import Page, made_key, page_of
from gateway.web.problems import Problem
from gateway.web.requests import Body, body_schema, parse, read_body
from gateway.writing.answers import Answer
from gateway.writing.job_limit import check_room
from gateway.writing.submit import ask
from runtime.listings.columns import UTF8_MARK
from runtime.timezones import TIME_ZONE_MAX_CHARS, zone_of

router = APIRouter(prefix=f"{API}/reports", tags=["reports"])

Staff = Annotated[Caller, Depends(require_role("staff", "reports:write"))]

# A report is asked for in a moment; making it is what takes its time.
_WAIT_SECONDS: Final = 5
_MEDIA_TYPES: Final = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


class ReportBody(Body):
    """Which sales to add up, and how: orders placed on the days from `from` up to but not including `to`, as
    `time_zone` counts them, that have one of the `statuses` when the report is made. Amounts are never added across
    currencies."""

    kind: Kind = Field(examples=["sales"])
    by: By = Field(examples=["day"])
    first: Day = Field(alias="from", examples=["2010-12-01"])
    end: Day = Field(alias="to", description="The day after the last.", examples=["2011-03-01"])
    format: Format = "csv"
    statuses: list[Status] = Field([CONFIRMED, FULFILLED], min_length=1, max_length=5)
    time_zone: str | None = Field(
        None,
        max_length=TIME_ZONE_MAX_CHARS,
        description="The time zone in which days begin, by its IANA name; without it the shop's own, which is UTC "
        "unless `TIDEGATE_TIME_ZONE` says otherwise.",
        examples=["Pacific/Auckland"],
    )

    @field_validator("time_zone")
    @classmethod
    def _is_a_time_zone(cls, name: str | None) -> str | None:
        return name if name is None else zone_of(name).key

    @model_validator(mode="after")
    def _is_a_range(self) -> "ReportBody":
        if not self.first < self.end:
            raise ValueError("`to` is exclusive, so it must be later than `from`.")
        if (self.end - self.first).days > REPORT_MAX_DAYS:
            raise ValueError(f"A report has at most {REPORT_MAX_DAYS} days.")
        return self


@router.post(
    "",
    status_code=201,
    response_model=ReportView,
    responses={201: {"description": "The report is being made.", **headers("Location")}, **write("too_many_jobs")},
    openapi_extra={**body_schema(ReportBody), "parameters": WRITE_HEADERS},
)
async def request_report(request: Request, caller: Staff) -> Response:
    """Requests a report. 201 and its status at once; the result is made in the background.

    CSV has a header line and is safe to open in a spreadsheet: text that it would read as a formula is prefixed with an
    apostrophe. JSON is one document, with the sums in `rows`.
    """
    edge, actor = edge_of(request), caller.actor
    body = await read_body(request, edge.config.body_max_bytes)
    wanted = parse(ReportBody, body)
    asked = ask(request, actor, body, wait_seconds=_WAIT_SECONDS)
    await check_room(edge.engine, actor.principal, max_unfinished=edge.config.jobs_max_unfinished)
    job_id = edge.submitter.new_resource_id(asked)
    params = wanted.model_dump(mode="json", by_alias=True)
    params["time_zone"] = wanted.time_zone or edge.config.time_zone
    params["statuses"] = list(dict.fromkeys(wanted.statuses))
    accepted = await edge.submitter.submit(asked, RequestJob(job_id, REPORT, params), str(job_id))

    async def made() -> Answer:
        report = views.shown(await _find(edge, caller, UUID(accepted.resource)), edge.config.job_result_seconds)
        return Answer(report.model_dump_json(by_alias=True), 201, {"Location": views.url(report.id)})

    return await edge.answers.respond(asked, accepted, made)


@router.get("", response_model=Page[ReportView], responses=read())
async def list_reports(
    request: Request,
    caller: Staff,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1)] = 20,
) -> Response:
    """Your reports, newest first. `limit` is capped at the maximum page size."""
    edge = edge_of(request)
    limit = min(limit, edge.config.page_max_rows)
    async with edge.engine.connect() as connection:
        found = await jobs.newest(connection, REPORT, caller.actor.principal, cursor, limit)
    reports = [views.shown(job, edge.config.job_result_seconds) for job in found]
    page = page_of(reports, limit, lambda report: made_key(report.requested_at, report.id))
    return Response(page.model_dump_json(by_alias=True), media_type="application/json")


@router.get("/{report_id}", response_model=ReportView, responses=read())
async def get_report(request: Request, caller: Staff, report_id: UUID) -> Response:
    """A report's status and progress, and the URL of its result."""
    edge = edge_of(request)
    report = views.shown(await _find(edge, caller, report_id), edge.config.job_result_seconds)
    return Response(report.model_dump_json(by_alias=True), media_type="application/json")


@router.get(
    "/{report_id}/result",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The result, in the format that was asked for.",
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                "application/json": {"schema": {"type": "object"}},
            },
            **headers("Content-Disposition"),
        },
        **read("report_not_ready", "report_failed", "result_expired"),
    },
)
async def get_report_result(
    request: Request,
    caller: Staff,
    report_id: UUID,
    marked: Annotated[
        bool,
        Query(alias="bom", description="Begin CSV with a byte order mark, so that Excel on Windows reads it as UTF-8."),
    ] = False,
) -> Response:
    """The result of a report that has succeeded, streamed; 409 until then, and 410 when it has expired."""
    edge = edge_of(request)
    job = await _find(edge, caller, report_id)
    if not job.finished:
        raise Problem(
            "report_not_ready", "The report is not finished yet.", extensions={"status_url": views.url(job.id)}
        )
    report = views.shown(job, edge.config.job_result_seconds)
    if report.failure is not None:
        raise Problem("report_failed", report.failure.detail, extensions={"reason": report.failure.code})
    if report.result_url is None:
        raise Problem("result_expired", "The result has expired; request the report again.")
    asked = report.report
    name = f"{asked.kind}-by-{asked.by}-{asked.first}-{asked.end}.{asked.format}"
    mark = UTF8_MARK if marked and asked.format == "csv" else b""
    return StreamingResponse(
        _behind(mark, jobs.result(edge.engine, job)),
        media_type=_MEDIA_TYPES[asked.format],
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Length": str(len(mark) + (report.size_bytes or 0)),
            "Cache-Control": "private, no-store",
        },
    )


async def _behind(mark: bytes, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if mark:
        yield mark
    async for part in parts:
        yield part


async def _find(edge: Edge, caller: Caller, report_id: UUID) -> JobRow:
    owner = None if caller.actor.role == "admin" else caller.actor.principal
    async with edge.engine.connect() as connection:
        job = await jobs.find(connection, REPORT, report_id, owner)
    if job is None:
        raise Problem("not_found", "There is no such report.")
    return job
