"""The tables of jobs: the jobs themselves, their input and output bytes, and the outcomes of lines. A job's columns are
named after the fields of its state in `domain/jobs.py` and written with its events; its runs are recorded in its task
(see `runtime/tables/tasks.py`). Everything else is telemetry that the background processes write directly, and that is
deleted some time after the job has finished.
"""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from runtime.tables.base import metadata, when

jobs = Table(
    "jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("params", JSONB, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("run", Integer, nullable=False),
    Column("summary", JSONB, nullable=False),
    when("created_at"),
    when("updated_at"),
    Index("jobs_queued", "id", postgresql_where=text("status = 'queued'")),
    # Ids are UUIDv7, in the order of the requests, so this serves "my reports, newest first".
    Index(None, "requested_by", "kind", "created_at", "id"),
)

# How far a job has come, in its own units, and the checkpoint for its next run.
job_progress = Table(
    "job_progress",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger),
    Column("checkpoint", JSONB),
)

UPLOAD_RUN: Final = 0
"""The run number of the upload's parts: uploading comes before all runs."""

PART_BYTES: Final = 262_144
"""The size of a row of `job_parts`: large enough to need few rows, small enough to send a row whole. All parts of an
upload except the last have exactly this size, so that the part of an offset can be computed."""

# Bytes in the order of `part`: for run 0 the upload, stored before there is a row in `jobs`; for any other, that run's
# result.
job_parts = Table(
    "job_parts",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("run", Integer, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
    when("created_at"),
)

# The outcome of a line of an upload, counted from 1; `particulars` are JSON-ready, like a rejection's.
job_rows = Table(
    "job_rows",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("line", BigInteger, primary_key=True, autoincrement=False),
    Column("code", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("particulars", JSONB, nullable=False),
    Column("outcome", Text, nullable=False),
)
