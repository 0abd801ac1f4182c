"""`tidegate tasks`: lists the tasks that are waiting or dead, and retries dead ones."""

import asyncio
from typing import Any, Final
from uuid import UUID

import asyncpg
import click
import msgspec
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from domain.model import Actor
from domain.roles import STAFF
from domain.tasks import TASK_DEAD, TASK_STATES, RetryTask
from runtime.database import asyncpg_dsn
from runtime.engine import create_engine
from runtime.mailboxes.sender import Sender, wait_for_outcomes
from runtime.records import APPLIED
from runtime.settings import Settings, settings
from runtime.tables import tasks as tasks_table

_OPERATOR: Final = Actor.in_role("cli", STAFF)
_PATIENCE_SECONDS: Final = 10.0
_SHOWN: Final = ("id", "kind", "subject", "state", "blocked", "attempts", "due_at", "last_error")


@click.group(invoke_without_command=True, short_help="List tasks, and retry dead ones.")
@click.option("--state", type=click.Choice(TASK_STATES), help="Only the tasks in this state.")
@click.option("--kind", help="Only the tasks of this kind.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many to list.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_context
def tasks(ctx: click.Context, state: str | None, kind: str | None, limit: int, as_json: bool) -> None:
    """List the tasks that are not done, newest first."""
    if ctx.invoked_subcommand is not None:
        return
    found = asyncio.run(_found(settings(), state, kind, limit))
    if as_json:
        for row in found:
            click.echo(msgspec.json.encode(row))
        return
    table = Table(*_SHOWN)
    for row in found:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in _SHOWN))
    Console().print(table)


@tasks.command()
@click.argument("task_id", metavar="ID", type=click.UUID)
def retry(task_id: UUID) -> None:
    """Retry the dead task ID now, with as many attempts as a new one. Workers queue it, so Tidegate must be running."""
    refused = asyncio.run(_retry(settings(), task_id))
    if refused is not None:
        raise click.ClickException(refused)
    click.echo("The task is queued.")


async def _found(config: Settings, state: str | None, kind: str | None, limit: int) -> list[dict[str, Any]]:
    query = select(*(tasks_table.c[name] for name in _SHOWN)).order_by(tasks_table.c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(tasks_table.c.state == state)
    if kind is not None:
        query = query.where(tasks_table.c.kind == kind)
    engine = create_engine(config.database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]
    finally:
        await engine.dispose()


async def _retry(config: Settings, task_id: UUID) -> str | None:
    """Posts the command and waits for its outcome; returns why the task is not queued, or None if it is."""
    async with asyncpg.create_pool(asyncpg_dsn(config.database_url), min_size=0, max_size=1) as pool:
        row = await pool.fetchrow("SELECT kind, subject, state FROM tasks WHERE id = $1", task_id)
        if row is None:
            return "there is no such task, or it has finished"
        if row["state"] != TASK_DEAD:
            return "the task is already queued"
        async with Sender(config) as sender:
            command = RetryTask(task_id, row["kind"], row["subject"])
            command_id = await sender.send(command, _OPERATOR, patience_seconds=_PATIENCE_SECONDS)
        outcome = (await wait_for_outcomes(pool, [command_id])).get(command_id)
    if outcome is None:
        return "no worker has applied it yet; when one runs, it will be done"
    return None if outcome.status == APPLIED else (outcome.detail or outcome.status).rstrip(".")
