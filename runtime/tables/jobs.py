"""The tables of jobs: the jobs themselves, the bytes that were given to them or that they gave, and what they noted
line by line.

A job's columns are named as the fields of its state in `domain/jobs.py` and written with its events; who runs it, and
when, is its task (see `runtime/tables/tasks.py`). All else is telemetry of the background processes, written by them
directly, and deleted some time after the job has finished.
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
    # Ids are UUIDv7: their order is the order of asking, so this serves "my reports, newest first".
    Index(None, "requested_by", "kind", "created_at", "id"),
)

# How far a job is, in units of its own, and what its next run is to go on from.
job_progress = Table(
    "job_progress",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger),
    Column("checkpoint", JSONB),
)

UPLOAD_RUN: Final = 0
"""The run whose parts are the upload: whoever uploads comes before all runs."""

PART_BYTES: Final = 262_144
"""Of one row of `job_parts`: large enough to be few, small enough to be sent on whole. All of an upload but the last
have exactly this size, so that an offset leads to its part."""

# Bytes in the order of `part`: with run 0 what was uploaded for the job, before there is a row in `jobs`; with any
# other what that run made of it.
job_parts = Table(
    "job_parts",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("run", Integer, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
    when("created_at"),
)

# What became of a line of an upload, counted from 1; `particulars` are JSON-ready, as a rejection's.
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
