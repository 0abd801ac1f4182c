"""Servers that are too old are refused with one sentence, before anything is changed."""

import asyncio
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import pytest
from click.testing import CliRunner

from ops.cli import main
from ops.ports import free_port
from runtime import server_versions
from runtime.database import asyncpg_dsn
from tests.servers import Databases

_INFO = b"redis_version:6.2.14\r\nredis_mode:standalone\r\n"


class _OldRedis(socketserver.StreamRequestHandler):
    """Answers INFO as Redis 6.2 does, and everything else with OK; requests are arrays of bulk strings (RESP 2)."""

    def handle(self) -> None:
        while head := self.rfile.readline():
            words = []
            for _ in range(int(head[1:])):
                length = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(length + 2)[:-2].upper())
            if words[0] == b"INFO":
                self.wfile.write(b"$%d\r\n%b\r\n" % (len(_INFO), _INFO))
            else:
                self.wfile.write(b"+OK\r\n")


@contextmanager
def _old_redis() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _OldRedis) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"redis://127.0.0.1:{server.server_address[1]}/0"
        finally:
            server.shutdown()
            thread.join()


async def _tables(database_url: str) -> int:
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    try:
        return int(await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
    finally:
        await connection.close()


def test_an_old_postgres_is_refused_and_left_unchanged(
    databases: Databases, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_versions, "POSTGRES_MIN_VERSION", 99)
    with databases.empty() as url:
        done = CliRunner().invoke(main, ["migrate"], env={"DATABASE_URL": url, "REDIS_URL": redis_url})
        assert done.exit_code == 1
        assert "Postgres (DATABASE_URL) is version 18." in done.output
        assert "Tidegate needs 99 or newer" in done.output
        assert asyncio.run(_tables(url)) == 0


@pytest.mark.parametrize("command", ["migrate", "up"])
def test_an_old_redis_is_refused_before_the_database_is_touched(
    databases: Databases, command: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = str(tmp_path_factory.mktemp("home"))
    with databases.empty() as url, _old_redis() as redis_url:
        environment = {
            "DATABASE_URL": url,
            "REDIS_URL": redis_url,
            "TIDEGATE_HOME": home,
            "PORT": str(free_port()),  # `up` looks at its port first
        }
        done = CliRunner().invoke(main, [command], env=environment)
        assert done.exit_code == 1
        assert "Redis (REDIS_URL) is version 6.2.14; Tidegate needs Redis 7 or Valkey 8, or newer." in done.output
        assert asyncio.run(_tables(url)) == 0
