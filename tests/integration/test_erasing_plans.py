"""An erasure finds a person's checkouts by indexes, since all other batches wait while it writes."""

from __future__ import annotations

from typing import Final

import pytest

from tests.integration.shopfloor import Shopfloor
from workers import erasing

_OTHERS: Final = """
    INSERT INTO checkouts (id, customer_id, status, lines, codes, email, version, created_at, updated_at)
    SELECT gen_random_uuid(), 'guest:' || n, 'open', '[]', '{}',
        CASE WHEN n % 2 = 0 THEN n || '@example.com' END, 1, now(), now()
    FROM generate_series(1, 20000) AS n
"""
_OF_A_PERSON: Final = "ARRAY['guest:7']::text[], ARRAY['8@example.com']::text[]"


@pytest.mark.parametrize(
    ("statement", "arguments"),
    [
        (erasing.LOCK_CHECKOUTS_OF, _OF_A_PERSON),
        (erasing.ERASE_CHECKOUTS, _OF_A_PERSON),
        (erasing.ERASE_EMAILS_OF_CHECKOUTS, "ARRAY['8@example.com']::text[]"),
    ],
)
async def test_a_persons_checkouts_are_found_by_indexes(floor: Shopfloor, statement: str, arguments: str) -> None:
    await floor.pool.execute(_OTHERS)
    await floor.pool.execute("ANALYZE checkouts")
    async with floor.pool.acquire() as connection:
        await connection.execute(f"PREPARE asked AS {statement}")
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE asked ({arguments})"))
        await connection.execute("DEALLOCATE asked")
    assert "Seq Scan on checkouts" not in plan, plan
