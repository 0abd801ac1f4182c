"""Tasks: what waits to be done outside, and what was given up and may be tried again. Staff only."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from domain.tasks import TASK_DEAD, RetryTask
from gateway.apidocs.responses import WRITE_HEADERS, read, write
from gateway.edge import edge_of
from gateway.identity.caller import Caller
from gateway.identity.requirements import require_role
from gateway.views import tasks as views
from gateway.views.tasks import TaskState, TaskView
from gateway.web import API
from gateway.web.pages import Page
from gateway.web.problems import Problem
from gateway.writing.answers import Answer
from gateway.writing.settled import WAIT_SECONDS
from gateway.writing.submit import ask

router = APIRouter(prefix=f"{API}/tasks", tags=["tasks"])

Staff = Annotated[Caller, Depends(require_role("staff", "tasks:write"))]

_KIND_MAX_CHARS = 64


@router.get("", response_model=Page[TaskView], responses=read())
async def list_tasks(
    request: Request,
    caller: Staff,
    state: Annotated[TaskState | None, Query(description="Only the tasks in this state.")] = None,
    kind: Annotated[
        str | None, Query(max_length=_KIND_MAX_CHARS, pattern="^[a-z_]+$", description="Only the tasks of this kind.")
    ] = None,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1)] = 50,
) -> Response:
    """The unfinished tasks, newest first. `limit` is capped at the maximum page size."""
    edge = edge_of(request)
    async with edge.engine.connect() as connection:
        page = await views.newest(connection, state, kind, cursor, min(limit, edge.config.page_max_rows))
    return Response(page.model_dump_json(), media_type="application/json")


@router.get("/{task_id}", response_model=TaskView, responses=read("task_not_found"))
async def get_task(request: Request, caller: Staff, task_id: UUID) -> Response:
    """One task, as long as it is unfinished."""
    return Response((await _find(request, task_id)).model_dump_json(), media_type="application/json")


@router.post(
    "/{task_id}/retry",
    response_model=TaskView,
    responses=write("task_not_found", "task_not_dead"),
    openapi_extra={"parameters": WRITE_HEADERS},
)
async def retry_task(request: Request, caller: Staff, task_id: UUID) -> Response:
    """Retries a dead task now, with as many attempts as a new one. Services that it calls see the same id as before.
    Waits until it is queued again unless `Prefer` says otherwise."""
    edge = edge_of(request)
    asked = ask(request, caller.actor, b"", wait_seconds=WAIT_SECONDS)
    task = await _find(request, task_id)
    if task.state != TASK_DEAD:
        raise Problem("task_not_dead", "The task is already queued.", extensions={"state": task.state})
    accepted = await edge.submitter.submit(asked, RetryTask(task.id, task.kind, task.subject), str(task_id))

    async def made() -> Answer:
        # It may be done by now, and gone: then it is shown as it was queued.
        async with edge.engine.connect() as connection:
            found = await views.find(connection, task_id)
        again = found or task.model_copy(update={"state": "queued", "attempts": 0})
        return Answer(again.model_dump_json())

    return await edge.answers.respond(asked, accepted, made)


async def _find(request: Request, task_id: UUID) -> TaskView:
    async with edge_of(request).engine.connect() as connection:
        task = await views.find(connection, task_id)
    if task is None:
        raise Problem("task_not_found", "There is no such task, or it has finished.")
    return task
