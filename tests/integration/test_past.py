"""This release reads what earlier ones left: their logs, and the commands that still waited."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from runtime import migrations
from tests.integration.shopfloor import Shopfloor
from tests.past import MAILBOXES, Past
from tests.past.writer import Writer
from tests.servers import Databases

PASTS: Final = sorted((Path(__file__).parents[1] / "data" / "past").glob("*.json.gz"))


@pytest.mark.parametrize("path", PASTS, ids=[path.name for path in PASTS])
async def test_a_past_is_migrated_read_and_continued(path: Path, databases: Databases, redis_url: str) -> None:
    past = Past.read(path)
    with databases.empty() as url:
        migrations.upgrade(url, past.revision)
        await past.load(url, redis_url)
        migrations.upgrade(url)
        async with Shopfloor(url, redis_url, mailbox_count=MAILBOXES) as floor:
            before = await floor.verified()
            waiting = before["mailbox_entries_waiting"]
            assert waiting > 0
            await floor.drain()
            after = await floor.verified()
            assert after["mailbox_entries_waiting"] == 0
            assert after["commands_applied"] - before["commands_applied"] == waiting


async def test_this_release_can_leave_a_past_with_every_kind(floor: Shopfloor) -> None:
    """`Writer` says so itself; otherwise nobody would notice before the next past has to be written."""
    assert floor.mailbox_count == MAILBOXES
    await Writer(floor).write()
    before = await floor.verified()
    await floor.drain()
    after = await floor.verified()
    assert after["commands_applied"] - before["commands_applied"] == before["mailbox_entries_waiting"] > 0
