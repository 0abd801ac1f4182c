"""What a batch adds to tables: few rows in one statement, many by COPY."""

from typing import Any

import asyncpg
import pytest

from tests.integration.shopfloor import Shopfloor
from workers.inserts import COPY_FROM_ROWS


@pytest.mark.usefixtures("nothing_at_once")
@pytest.mark.parametrize(
    ("orders", "copied"),
    [
        (1, set()),
        (COPY_FROM_ROWS // 2 - 1, set()),
        (COPY_FROM_ROWS // 2, {"order_lines"}),
        (COPY_FROM_ROWS, {"order_lines", "orders", "events", "commands"}),
    ],
)
async def test_few_rows_go_in_one_statement_and_many_are_copied(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch, orders: int, copied: set[str]
) -> None:
    await floor.fill(MUG=100, LAMP=100)
    seen: set[str] = set()
    copy = asyncpg.Connection.copy_records_to_table

    async def noted(self: Any, table_name: str, **options: Any) -> Any:
        seen.add(table_name)
        return await copy(self, table_name, **options)

    monkeypatch.setattr(asyncpg.Connection, "copy_records_to_table", noted)
    posted = await floor.post_all(floor.place(number % 4, MUG=1, LAMP=1) for number in range(orders))
    await floor.drain()
    monkeypatch.undo()
    assert seen == copied
    assert await floor.statuses(posted) == ["applied"] * orders
    await floor.verified()
