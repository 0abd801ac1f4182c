"""`tidegate doctor` on real servers: the tests' own are not durable, which it must notice."""

import asyncio
import json
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner

from ops.cli import main
from ops.ports import free_port
from runtime.database import asyncpg_dsn
from tests.servers import Databases


def _doctor(database_url: str, redis_url: str, *options: str) -> tuple[int, str]:
    ran = CliRunner().invoke(
        main,
        ["doctor", *options],
        env={"DATABASE_URL": database_url, "REDIS_URL": redis_url, "PORT": str(free_port())},
    )
    return ran.exit_code, ran.output


def _found(database_url: str, redis_url: str) -> dict[str, Any]:
    """The findings by check."""
    code, output = _doctor(database_url, redis_url, "--json")
    document = json.loads(output)
    assert (code == 0) == document["ok"]
    return {each["check"]: each for each in document["checks"]}


def test_servers_that_are_not_durable_are_named_with_what_to_do(database_url: str, redis_url: str) -> None:
    found = _found(database_url, redis_url)
    failing = {check for check, each in found.items() if each["level"] == "failure"}
    assert failing >= {
        "postgres fsync",
        "postgres synchronous_commit",
        "postgres full_page_writes",
        "redis appendfsync",
    }
    assert "appendfsync always" in found["redis appendfsync"]["advice"]
    for check in (
        "postgres version",
        "redis version",
        "migrations",
        "postgres clock",
        "redis clock",
        "redis appendonly",
    ):
        assert found[check]["level"] == "ok", found[check]
    assert found["gateway"]["said"].startswith("none answers")


def test_people_see_the_same(database_url: str, redis_url: str) -> None:
    code, output = _doctor(database_url, redis_url)
    assert code == 1
    assert "✗ postgres fsync" in output
    assert "fsync = on: set it in postgresql.conf" in output
    assert "✓ migrations" in output


def test_an_empty_database_needs_migration(databases: Databases, redis_url: str) -> None:
    with databases.empty() as empty:
        migration = _found(empty, redis_url)["migrations"]
    assert (migration["level"], migration["advice"]) == ("failure", "run `tidegate migrate`")


async def test_a_database_of_a_later_release_is_recognised(database_url: str, redis_url: str) -> None:
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    await connection.execute("UPDATE alembic_version SET version_num = 'of_the_future'")
    await connection.close()
    found = await asyncio.to_thread(_found, database_url, redis_url)
    assert found["migrations"]["advice"] == "upgrade Tidegate here as well"


@pytest.mark.parametrize("missing", ["postgres", "redis"])
def test_an_unavailable_server_hides_nothing_else(database_url: str, redis_url: str, missing: str) -> None:
    nowhere = free_port()
    if missing == "postgres":
        database_url = f"postgresql://nobody@127.0.0.1:{nowhere}/nothing"
    else:
        redis_url = f"redis://127.0.0.1:{nowhere}/0"
    found = _found(database_url, redis_url)
    assert found[missing]["level"] == "failure"
    assert {"postgres": "redis version", "redis": "postgres version"}[missing] in found


def test_invalid_settings_are_one_line(database_url: str, redis_url: str) -> None:
    ran = CliRunner().invoke(main, ["doctor"], env={"TIDEGATE_PROT": "1"})
    assert ran.exit_code == 1
    assert "did you mean TIDEGATE_PORT?" in ran.output
