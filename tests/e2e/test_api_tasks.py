"""Tasks as staff see them: unfinished ones are listed, and a dead one can be retried, by the API and the CLI."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from ops.cli.tasks import tasks
from runtime.settings import settings
from tests.e2e.faults import background_stopped
from tests.e2e.shop import Shop
from tests.system import eventually_seen

REPORT = {"kind": "sales", "by": "day", "from": "2026-01-01", "to": "2026-01-02"}


async def _dead(shop: Shop) -> dict[str, Any]:
    """A report's task in the state after it has failed too often; no tasks are run until then."""
    report = (await shop.staff.post("/reports", REPORT)).ok(201)
    await shop.database.execute(
        "UPDATE tasks SET state = 'dead', attempts = 5, last_error = 'OSError: x' WHERE subject = $1", report["id"]
    )
    return dict(report)


async def test_unfinished_tasks_are_listed_page_by_page(shop: Shop) -> None:
    async with background_stopped(shop.system):
        waiting = [(await shop.staff.post("/reports", REPORT)).ok(201)["id"] for _ in range(2)]
        dead = [(await _dead(shop))["id"] for _ in range(3)]
        page = (await shop.staff.get("/tasks", state="dead", kind="report", limit=2)).ok()
        rest = (await shop.staff.get("/tasks", state="dead", limit=2, cursor=page["next_cursor"])).ok()
        assert rest["next_cursor"] is None
        found = page["items"] + rest["items"]
        assert [task["subject"] for task in found] == dead[::-1]
        assert {(task["state"], task["last_error"], task["running"]) for task in found} == {
            ("dead", "OSError: x", False)
        }
        queued = (await shop.staff.get("/tasks", state="queued", kind="report")).ok()["items"]
        assert [task["subject"] for task in queued] == waiting[::-1]
        assert (await shop.staff.get("/tasks", kind="import")).ok()["items"] == []
        assert (await shop.staff.get(f"/tasks/{found[0]['id']}")).ok() == found[0]
        for task in found:
            (await shop.staff.post(f"/tasks/{task['id']}/retry", {})).ok()
    await _all_done(shop)


async def test_a_dead_task_is_retried(shop: Shop) -> None:
    async with background_stopped(shop.system):
        report = await _dead(shop)
        (task,) = (await shop.staff.get("/tasks", state="dead")).ok()["items"]
        again = (await shop.staff.post(f"/tasks/{task['id']}/retry", {})).ok()
        assert (again["id"], again["state"], again["attempts"]) == (task["id"], "queued", 0)
        (await shop.staff.post(f"/tasks/{task['id']}/retry", {})).problem(409, "task_not_dead")
    await _all_done(shop)
    assert (await shop.staff.get(f"/reports/{report['id']}")).ok()["status"] == "succeeded"
    (await shop.staff.get(f"/tasks/{task['id']}")).problem(404, "task_not_found")
    (await shop.staff.post(f"/tasks/{uuid.uuid4()}/retry", {})).problem(404, "task_not_found")


async def test_the_command_line_lists_and_retries(shop: Shop) -> None:
    async def tidegate(*arguments: str) -> Result:
        """In a thread, with a loop of its own: four processes took seconds to import what is imported here."""
        settings.cache_clear()
        return await asyncio.to_thread(CliRunner().invoke, tasks, arguments, env=shop.system.environment)

    async with background_stopped(shop.system):
        report = await _dead(shop)
        listed = await tidegate("--state", "dead", "--json")
        (task,) = [msgspec.json.decode(line) for line in listed.stdout.splitlines()]
        assert (task["subject"], task["kind"], task["state"]) == (report["id"], "report", "dead")
        assert (await tidegate("retry", task["id"])).exit_code == 0
        refused = await tidegate("retry", task["id"])
        assert refused.exit_code == 1
        assert "already queued" in refused.stderr
        assert "no such task" in (await tidegate("retry", str(uuid.uuid4()))).stderr
    await _all_done(shop)


@pytest.mark.parametrize("query", [{"state": "done"}, {"kind": "x y"}, {"cursor": "abc"}])
async def test_invalid_requests_are_refused(shop: Shop, query: dict[str, str]) -> None:
    (await shop.staff.get("/tasks", **query)).problem(422, "invalid_request")


async def _all_done(shop: Shop) -> None:
    async def none_left() -> bool:
        return not (await shop.staff.get("/tasks", kind="report")).ok()["items"]

    await eventually_seen("no report's task left", none_left, within_seconds=20)
