"""Connections that died silently delay the next query by a moment, and those after it not at all."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import text

from runtime.activation import ActivationBroker, activate
from runtime.database import asyncpg_dsn, create_batch_pool, create_job_pool
from runtime.delivering.registry import DeliveryProviders
from runtime.engine import create_engine
from runtime.mailboxes.sender import Sender
from runtime.payments.registry import Providers
from runtime.postgres_connections import Connection
from runtime.redis_client import connect
from runtime.settings import Settings, settings
from runtime.taxing.registry import TaxProviders
from tests import pace
from tests.proxy import Proxy
from tests.system import eventually_seen
from workers.background import dispatcher
from workers.failures import DATABASE_TROUBLE

CONNECTIONS: Final = 5
ANSWER_SECONDS: Final = 0.5
# What the queries after the first take on the reference machine: opening a connection.
CONNECT_SECONDS: Final = 1.0

Ask = Callable[[], Awaitable[object]]


@pytest.fixture(autouse=True)
def _doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection is probed, however briefly it was idle."""
    monkeypatch.setenv("TIDEGATE_CONNECTION_IDLE_SECONDS", "0")
    monkeypatch.setenv("TIDEGATE_CONNECTION_ANSWER_SECONDS", str(ANSWER_SECONDS))


@asynccontextmanager
async def batches(url: str) -> AsyncIterator[Ask]:
    pool = await create_batch_pool(url, size=CONNECTIONS, batch_max_seconds=60)
    yield lambda: pool.fetchval("SELECT pg_sleep(0.05)")
    pool.terminate()


@asynccontextmanager
async def jobs(url: str) -> AsyncIterator[Ask]:
    pool = await create_job_pool(url, size=CONNECTIONS, job_max_seconds=60)
    yield lambda: pool.fetchval("SELECT pg_sleep(0.05)")
    pool.terminate()


@asynccontextmanager
async def views(url: str) -> AsyncIterator[Ask]:
    engine = create_engine(url, pool_size=CONNECTIONS, statement_timeout=60)

    async def ask() -> None:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(0.05)"))

    yield ask
    await engine.dispose()


@asynccontextmanager
async def mailboxes(url: str) -> AsyncIterator[Ask]:
    client = connect(url, answer_timeout=60)
    yield lambda: client.blpop(["nothing"], timeout=0.05)
    await client.aclose()


@asynccontextmanager
async def activations(url: str) -> AsyncIterator[Ask]:
    broker = ActivationBroker(url)
    yield lambda: activate(broker, 1)
    await broker.shutdown()


@pytest.fixture
def urls(database_url: str, redis_url: str) -> dict[str, str]:
    return {"postgres": database_url, "redis": redis_url}


@pytest.fixture
def proxy_of() -> Iterator[Callable[[str], tuple[Proxy, str]]]:
    proxies = []

    def made(url: str) -> tuple[Proxy, str]:
        port = urlsplit(url).port
        assert port is not None
        proxy = Proxy(port).__enter__()
        proxies.append(proxy)
        return proxy, proxy.leads_to(url)

    yield made
    for proxy in proxies:
        proxy.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("server", "asking"),
    [
        ("postgres", batches),
        ("postgres", jobs),
        ("postgres", views),
        ("redis", mailboxes),
        ("redis", activations),
    ],
)
async def test_only_the_first_waits_and_not_for_long(
    urls: dict[str, str], proxy_of: Any, server: str, asking: Any
) -> None:
    proxy, url = proxy_of(urls[server])
    async with asking(url) as ask:
        await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
        assert proxy.forget() == CONNECTIONS
        took = [await _seconds(ask) for _ in range(CONNECTIONS)]
        assert took[0] >= ANSWER_SECONDS, "there was something to detect"
        assert pace.is_within(took[0] - ANSWER_SECONDS, CONNECT_SECONDS)
        assert pace.is_within(sum(took[1:]), CONNECT_SECONDS), "no other query waits for dead ones"


async def test_finding_one_dead_does_not_affect_users_of_others(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(redis_url)
    pool: Any = client.connection_pool
    await asyncio.gather(*(client.blpop(["nothing"], timeout=0.05) for _ in range(CONNECTIONS)))
    others: list[asyncio.Future[Any]] = []
    answers = pool._answers

    async def after(turns: int) -> Any:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await client.ping()

    async def found_dead(connection: Any) -> bool:
        if others:
            return bool(await answers(connection))
        others.extend(asyncio.ensure_future(after(turns)) for turns in range(CONNECTIONS - 1))
        return False

    monkeypatch.setattr(pool, "_answers", found_dead)
    assert await client.ping()
    assert await asyncio.gather(*others) == [True] * (CONNECTIONS - 1)
    await client.aclose()


async def _seconds(ask: Ask) -> float:
    begun = time.monotonic()
    await ask()
    return time.monotonic() - begun


@pytest.mark.parametrize("server", ["postgres", "redis"])
async def test_a_cancelled_probe_leaves_nothing_behind(urls: dict[str, str], proxy_of: Any, server: str) -> None:
    """A connection that is being probed when its user gives up is not handed out, and its place in the pool is free."""
    proxy, url = proxy_of(urls[server])
    async with (batches if server == "postgres" else mailboxes)(url) as ask:
        await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
        proxy.forget()
        impatient = [asyncio.ensure_future(ask()) for _ in range(CONNECTIONS)]
        await asyncio.sleep(0)
        for task in impatient:
            task.cancel()
        await asyncio.gather(*impatient, return_exceptions=True)
        async with pace.timeout(CONNECTIONS * (ANSWER_SECONDS + CONNECT_SECONDS)):
            await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))


async def test_a_connection_just_used_is_not_probed(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_CONNECTION_IDLE_SECONDS", "60")
    pool = await create_batch_pool(database_url, size=1, batch_max_seconds=60)
    assert await pool.fetchval("SELECT 1") == 1

    async def asked(*_: object) -> None:
        pytest.fail("it was probed")

    monkeypatch.setattr(Connection, "execute", asked)
    assert await pool.fetchval("SELECT 2") == 2
    pool.terminate()


async def test_sockets_have_the_options_of_the_settings(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_KEEPALIVE_IDLE_SECONDS", "7")
    pool = await create_batch_pool(database_url, size=1, batch_max_seconds=60)
    client = connect(redis_url)
    async with pool.acquire() as connection, client.client() as single:
        await single.ping()
        to_redis: Any = single.connection
        sockets = [each.get_extra_info("socket") for each in (connection._transport, to_redis._writer.transport)]
        for each in sockets:
            assert each.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert each.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7
            assert each.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == ANSWER_SECONDS * 1_000
    await client.aclose()
    pool.terminate()


async def test_a_connection_that_dies_under_a_statement_is_given_back_once_that_is_cancelled(database_url: str) -> None:
    """A statement of a job may take an hour. Who must not wait for it any longer need not wait for its connection."""
    with Proxy(urlsplit(database_url).port or 0) as proxy:
        pool = await create_job_pool(proxy.leads_to(database_url), size=1, job_max_seconds=3_600)
        try:
            asking = asyncio.create_task(pool.fetchval("SELECT pg_sleep(3600)"))
            await eventually_seen("the statement", lambda: _sleeps(database_url), within_seconds=10)
            proxy.forget()
            asking.cancel()
            async with pace.timeout(20):
                await asyncio.wait([asking])
                assert await pool.fetchval("SELECT 1") == 1
        finally:
            pool.terminate()


async def test_looking_for_jobs_has_a_shorter_timeout_than_a_job(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_CONNECTION_IDLE_SECONDS", "60")  # nobody doubts what has worked just now
    settings.cache_clear()
    config = Settings.model_construct(**{**Settings().model_dump(), "redis_url": redis_url})
    with Proxy(urlsplit(database_url).port or 0) as proxy:
        url = proxy.leads_to(database_url)
        pool = await create_batch_pool(url, size=4, batch_max_seconds=1.0)
        job_pool = await create_job_pool(url, size=4, job_max_seconds=3_600)
        try:
            async with Sender(config) as sender:
                asked = Providers(config), TaxProviders(config), DeliveryProviders(config)
                jobs = dispatcher(config, pool, job_pool, sender, *asked)._lanes[-1]
                assert await jobs.look() == 0
                proxy.forget()
                looking = asyncio.create_task(jobs.look())
                await asyncio.wait([looking], timeout=pace.seconds(20))
                assert looking.done(), "it still waits"
                assert isinstance(looking.exception(), DATABASE_TROUBLE)
                assert await jobs.look() == 0
        finally:
            pool.terminate()
            job_pool.terminate()


async def _sleeps(database_url: str) -> bool:
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    try:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(3600)%' AND state = 'active'"
        return bool(await connection.fetchval(asked))
    finally:
        await connection.close()
