"""TLS to Postgres: every part takes the same URL, and none connects without the protection that the URL asks for."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from ops.console.failures import explanation
from runtime.database import asyncpg_dsn, create_batch_pool, create_job_pool
from runtime.engine import create_engine
from tests.tlsproxy import Authority, TlsProxy, tls_proxy

pytestmark = pytest.mark.campaign

_NAME = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"


class Server(NamedTuple):
    """A database behind TLS, and the authority that its clients trust."""

    proxy: TlsProxy
    root: Path
    address: str

    def url(self, query: str) -> str:
        return f"{self.address}?{query}"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "trusted")


@pytest.fixture
def good(database_url: str, authority: Authority) -> Iterator[Server]:
    with _behind_tls(database_url, authority.server("127.0.0.1"), authority.root) as server:
        yield server


@contextmanager
def _behind_tls(database_url: str, context: ssl.SSLContext, root: Path) -> Iterator[Server]:
    url = make_url(database_url)
    with tls_proxy(url.port or 5432, context) as proxy:
        yield Server(proxy, root, url.set(port=proxy.port).render_as_string(hide_password=False))


async def _by_engine(url: str) -> str:
    engine = create_engine(url, pool_size=1)
    try:
        async with engine.connect() as connection:
            return str(await connection.scalar(text(_NAME)))
    finally:
        await engine.dispose()


async def _by_batch_pool(url: str) -> str:
    async with await create_batch_pool(url, size=1, batch_max_seconds=5) as pool:
        return str(await pool.fetchval(_NAME))


async def _by_job_pool(url: str) -> str:
    async with await create_job_pool(url, size=1, job_max_seconds=5) as pool:
        return str(await pool.fetchval(_NAME))


async def _by_asyncpg(url: str) -> str:
    connection = await asyncpg.connect(asyncpg_dsn(url))
    try:
        return str(await connection.fetchval(_NAME))
    finally:
        await connection.close()


Part = Callable[[str], Awaitable[str]]
parts = pytest.mark.parametrize("part", [_by_engine, _by_batch_pool, _by_job_pool, _by_asyncpg])


@parts
@pytest.mark.parametrize(
    "query", ["sslmode=require", "ssl=true", "ssl=require", "sslmode=prefer", "application_name=x"]
)
async def test_every_part_uses_tls(good: Server, part: Part, query: str) -> None:
    await part(good.url(query))
    assert good.proxy.sessions == 1
    assert good.proxy.plain == 0


@parts
@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_a_valid_certificate_is_trusted(good: Server, part: Part, mode: str) -> None:
    name = await part(good.url(f"sslmode={mode}&sslrootcert={good.root}&application_name=shop"))
    assert name.startswith("shop")


@parts
@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_a_certificate_of_an_untrusted_authority_is_refused(
    database_url: str, authority: Authority, tmp_path: Path, part: Part, mode: str
) -> None:
    stranger = Authority(tmp_path, "stranger").server("127.0.0.1")
    with _behind_tls(database_url, stranger, authority.root) as server:
        with pytest.raises(ssl.SSLCertVerificationError) as refused:
            await part(server.url(f"sslmode={mode}&sslrootcert={server.root}"))
        assert "over TLS" in str(explanation(refused.value))
        await part(server.url("sslmode=require"))  # encrypted, to any server, as libpq does it


@parts
async def test_a_certificate_of_another_host_is_refused_where_the_host_is_verified(
    database_url: str, authority: Authority, part: Part
) -> None:
    with _behind_tls(database_url, authority.server("127.0.0.9"), authority.root) as server:
        await part(server.url(f"sslmode=verify-ca&sslrootcert={server.root}"))
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            await part(server.url(f"sslmode=verify-full&sslrootcert={server.root}"))


@parts
async def test_a_server_without_tls_is_refused_where_tls_is_required(database_url: str, part: Part) -> None:
    with pytest.raises(ConnectionError) as refused:
        await part(f"{database_url}?sslmode=require")
    assert "over TLS" in str(explanation(refused.value))
    await part(f"{database_url}?sslmode=prefer")
