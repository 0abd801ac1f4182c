"""An import meets a malicious file, a process that dies, and staff who change the same products."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import msgspec
import pytest

from domain.catalogue import ChangeProduct, SetVariant, VariantFields
from domain.jobs import IMPORT, RequestJob
from runtime.listings.columns import JSON_LINES
from runtime.listings.rows import Row
from runtime.tables.jobs import PART_BYTES
from tests.integration.background import Background, background, until
from tests.integration.shopfloor import PRICE_MINOR, STAFF, Shopfloor
from workers.jobs.pacing import FIRST_ROWS
from workers.jobs.planning import Window, known_of

GOOD = b'{"slug":"tea","name":"Tea","status":"active","sku":"TEA","price_minor":300,"currency":"GBP"}\n'


@pytest.fixture
async def jobs(floor: Shopfloor) -> AsyncIterator[Background]:
    async with background(floor, task_lease_seconds=30, task_attempts_max=2) as running:
        yield running


async def request(jobs: Background, *parts: bytes, size_bytes: int | None = None) -> UUID:
    """Requests an import of JSON Lines that were uploaded in these parts."""
    job_id = jobs.floor.new_id()
    await jobs.pool.executemany(
        "INSERT INTO job_parts (job_id, run, part, data, created_at) VALUES ($1, 0, $2, $3, now())",
        [(job_id, part, data) for part, data in enumerate(parts)],
    )
    size_bytes = sum(map(len, parts)) if size_bytes is None else size_bytes
    params = {"format": JSON_LINES, "size_bytes": size_bytes, "dry_run": False}
    await jobs.floor.post(RequestJob(job_id, IMPORT, params), actor=STAFF)
    await until(lambda: jobs.row(job_id))
    return job_id


async def done(jobs: Background, job_id: UUID) -> tuple[str, dict[str, Any]]:
    """Runs the import once; returns its status and summary."""
    await jobs.run_due()
    row = await jobs.row(job_id)
    assert row is not None
    return row["status"], msgspec.json.decode(row["summary"])


async def errors(jobs: Background, job_id: UUID) -> list[tuple[int, str, str]]:
    rows = await jobs.pool.fetch("SELECT line, code, detail FROM job_rows WHERE job_id = $1 ORDER BY line", job_id)
    return [tuple(row) for row in rows]


@pytest.mark.parametrize("name", [r"x\u0000y", "k" * 100_000], ids=["a zero byte", "endless"])
async def test_bad_column_names_affect_only_their_row(jobs: Background, name: str) -> None:
    job_id = await request(jobs, b'{"slug":"bad","%s":1}\n' % name.encode() + GOOD)
    status, summary = await done(jobs, job_id)
    assert (status, summary["applied"], summary["rejected"]) == ("succeeded", 1, 1)
    [(line, code, detail)] = await errors(jobs, job_id)
    assert (line, code) == (1, "invalid_value")
    assert detail.startswith("There is no column ")
    assert len(detail) < 1_000


async def test_an_empty_text_clears_what_may_be_empty(jobs: Background, floor: Shopfloor) -> None:
    status, summary = await done(jobs, await request(jobs, GOOD.replace(b"}", b',"barcode":"","title":""}')))
    assert (status, summary["applied"], summary["rejected"]) == ("succeeded", 1, 0)
    assert await floor.dead_letters() == []


@pytest.mark.parametrize("lost", [0, 1])
async def test_a_file_that_lost_a_part_is_not_taken_for_complete(jobs: Background, lost: int) -> None:
    rest = GOOD.replace(b"tea", b"rice").replace(b"TEA", b"RICE").replace(b"Tea", b"Rice")
    filled = GOOD + b" " * (PART_BYTES - len(GOOD) - 1) + b"\n"
    job_id = await request(jobs, filled, rest)
    await jobs.pool.execute("DELETE FROM job_parts WHERE job_id = $1 AND part = $2", job_id, lost)
    status, summary = await done(jobs, job_id)
    assert (status, summary["code"]) == ("failed", "upload_incomplete")


async def test_an_error_recorded_by_a_run_that_died_is_forgotten_if_the_row_is_applied_after_all(
    jobs: Background,
) -> None:
    job_id = await request(jobs, b"not JSON\n" + GOOD)
    # Recorded after the last checkpoint that was saved.
    await jobs.pool.execute(
        "INSERT INTO job_rows VALUES ($1, 2, 'unknown_category', 'There was none.', '{}', 'rejected')", job_id
    )
    status, summary = await done(jobs, job_id)
    assert (status, summary["applied"], summary["rejected"]) == ("succeeded", 1, 1)
    assert [line for line, *_ in await errors(jobs, job_id)] == [1]


async def test_fields_that_a_row_leaves_out_keep_even_concurrent_changes(floor: Shopfloor) -> None:
    await floor.fill(TEA=0)
    product_id = floor.listing("TEA").product_id
    row = Row(slug="tea", name="Green tea", sku="TEA", title="100 g")
    planned = Window(floor.new_id(), await known_of(floor.pool, [row])).plan(2, b"", row)
    # Now staff change the price and the description.
    posted = [
        await floor.post(
            SetVariant(product_id, VariantFields("TEA", PRICE_MINOR + 50, "GBP", barcode="1")), actor=STAFF
        ),
        await floor.post(ChangeProduct(product_id, {"description": "Fresh."}), actor=STAFF),
        await floor.post(planned.command, actor=STAFF),
    ]
    await floor.drain()
    assert await floor.statuses(posted) == ["applied"] * 3
    said = await floor.pool.fetchrow(
        "SELECT name, description, title, price_minor, barcode FROM products p JOIN variants v ON v.product_id = p.id"
    )
    assert said is not None
    assert tuple(said) == ("Green tea", "Fresh.", "100 g", PRICE_MINOR + 50, "1")
    await floor.verified()


async def test_rows_are_posted_when_those_before_them_are_applied(floor: Shopfloor) -> None:
    """A bounded number at once, so that orders do not queue behind the whole file."""
    more = 3
    rows = [GOOD.replace(b"tea", b"tea-%d" % n).replace(b"TEA", b"TEA-%d" % n) for n in range(FIRST_ROWS + more)]
    async with background(floor, task_lease_seconds=30, import_portion_seconds=0.000_001) as jobs:
        status, summary = await done(jobs, await request(jobs, *rows))
        assert (status, summary["applied"]) == ("succeeded", len(rows))
        times = await jobs.pool.fetch(
            "SELECT accepted_at, applied_at FROM commands WHERE idempotency_key LIKE 'import:%' ORDER BY accepted_at"
        )
    assert len(times) == len(rows)
    first, rest = times[:FIRST_ROWS], times[FIRST_ROWS:]
    assert min(row["accepted_at"] for row in rest) >= max(row["applied_at"] for row in first)
