"""Gateways whose views go through a PgBouncer in transaction mode, as `docs/deploying.md` says to set it up; workers
and background processes go past it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio

from ops.children import Child
from ops.embedded.account import give, open_way, server_account
from ops.embedded.server import records_folder
from ops.ports import free_port
from tests.e2e.another import gateway
from tests.e2e.api import Answer, Client
from tests.e2e.ledger import Ledger, stock_up, verified
from tests.needs import program
from tests.system import System

pytestmark = pytest.mark.campaign

SKUS: Final = ("KETTLE", "TEAPOT")
SERVER_CONNECTIONS: Final = 3
CUSTOMERS: Final = 24
ROUNDS: Final = 5

_CONFIGURATION: Final = """
[databases]
* = host=127.0.0.1 port={server_port} user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 200
ignore_startup_parameters = jit
"""


@contextmanager
def bouncer(system: System) -> Iterator[str]:
    """A PgBouncer in front of the system's Postgres; the URL of the database through it. Like Postgres it refuses to
    be root, so its files are in a folder of another account's."""
    path = program("pgbouncer", "pgbouncer", "/usr/sbin/pgbouncer")
    server = urlsplit(system.postgres.url)
    port, account = free_port(), server_account()
    with tempfile.TemporaryDirectory(prefix="bouncer-") as name:
        file = Path(name) / "pgbouncer.ini"
        file.write_text(
            _CONFIGURATION.format(
                server_port=server.port,
                user=server.username,
                password=server.password,
                port=port,
                size=SERVER_CONNECTIONS,
            )
        )
        if account is not None:
            give(account, Path(name))
            give(account, file)
            open_way(account, file)
        with system.log("pgbouncer").open("wb") as log:
            child = Child(
                "pgbouncer", [path, str(file)], records=records_folder(system.home), output=log, account=account
            )
        try:
            yield server._replace(netloc=server.netloc.replace(f":{server.port}", f":{port}")).geturl()
        finally:
            child.stop(5.0)


@pytest_asyncio.fixture(scope="module")
async def stocked() -> AsyncIterator[System]:
    with System() as system:
        await stock_up(system, SKUS)
        system.stop_process("gateway")  # its connections would be counted too
        yield system


async def test_a_crowd_shares_three_connections(stocked: System) -> None:
    with (
        bouncer(stocked) as url,
        gateway(stocked, DATABASE_URL=url, TIDEGATE_DATABASE_KEEPS_STATEMENTS="false") as other,
    ):
        answers, broken = await _crowd(stocked, other)
        assert broken == []
        assert {answer.status for answer in answers} <= {200, 201}, [a.body for a in answers if a.status > 201][:3]
        async with Ledger(stocked) as ledger:
            views = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%-view'"
            assert 1 <= await ledger.connection.fetchval(views) <= SERVER_CONNECTIONS
            assert await ledger.connection.fetchval("SELECT count(*) FROM orders") == CUSTOMERS * ROUNDS
    await verified(stocked)


async def test_with_kept_statements_it_would_fail(stocked: System) -> None:
    """So the setting does something, and the crowd is one that needs it."""
    with bouncer(stocked) as url, gateway(stocked, DATABASE_URL=url) as other:
        answers, broken = await _crowd(stocked, other)
        assert broken or any(answer.status >= 500 for answer in answers)
    await verified(stocked)


async def _crowd(system: System, url: str) -> tuple[list[Answer], list[BaseException]]:
    """Customers who each order, look and look again, all at once: every answer there was, and what ended those who did
    not get through."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        clients = [Client(http, url, system.token("customer", f"customer-{n}")) for n in range(CUSTOMERS)]
        ended = await asyncio.gather(*(_shops(client) for client in clients), return_exceptions=True)
    broken = [each for each in ended if isinstance(each, BaseException)]
    return [answer for each in ended if not isinstance(each, BaseException) for answer in each], broken


async def _shops(client: Client) -> list[Answer]:
    answers = []
    for turn in range(ROUNDS):
        placed = await client.place({SKUS[turn % len(SKUS)]: 1})
        answers.append(placed)
        if placed.status == 201:
            answers.append(await client.get(f"/orders/{placed.json()['id']}"))
        answers += [await client.get("/orders", limit=3), await client.get("/products", limit=5, sort="name")]
    return answers
