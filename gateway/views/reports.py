"""Reports as the API shows them."""

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, Field

from gateway.views.jobs import JobRow, JobView
from gateway.web import API

Kind = Literal["sales"]
By = Literal["day", "sku", "category", "customer"]
Format = Literal["csv", "json"]
Status = Literal["placed", "confirmed", "fulfilled", "cancelled", "expired"]


class SpecificationView(BaseModel):
    """What a report covers: orders placed on the days from `from` up to but not including `to`, as `time_zone` (an IANA
    name) counts them, that now have one of the `statuses`."""

    kind: Kind
    by: By
    first: date = Field(alias="from")
    end: date = Field(alias="to", description="The day after the last.")
    format: Format
    statuses: list[Status]
    time_zone: str = "UTC"


class ReportView(JobView):
    """A report. When it has succeeded, its result is at `result_url` until `expires_at`."""

    report: SpecificationView
    rows: int | None = None
    size_bytes: int | None = None
    expires_at: datetime | None = None
    result_url: str | None = None


def url(report_id: object) -> str:
    return f"{API}/reports/{report_id}"


def shown(job: JobRow, kept_seconds: int) -> ReportView:
    """The report; `kept_seconds` is how long its result is."""
    expires_at = job.expires_at(kept_seconds) if job.succeeded else None
    return ReportView(
        **job.common(),
        report=SpecificationView(**job.params),
        rows=job.summary.get("rows"),
        size_bytes=job.summary.get("bytes"),
        expires_at=expires_at,
        result_url=f"{url(job.id)}/result" if expires_at and job.now < expires_at else None,
    )
