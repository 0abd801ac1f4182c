"""The CLI itself: which commands it lists, what it prints, and how it fails."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import click
import pytest
from click.testing import CliRunner, Result
from pydantic import ValidationError
from redis.exceptions import BusyLoadingError
from sqlalchemy.exc import InterfaceError

import ops.cli
from ops import home, processes, stopping
from ops.cli import main
from ops.cli.banner import banner
from ops.cli.up import up
from ops.console.failures import explanation
from ops.stopping import RESTART, Stopped, stop_request
from runtime.settings import DEVELOPMENT_SECRET, Settings
from runtime.signing_keys import KeyRing
from runtime.tokens import claims_of

_COMMANDS = {
    "archive",
    "bench",
    "demo",
    "doctor",
    "export",
    "import",
    "keys",
    "load",
    "migrate",
    "payments",
    "receive",
    "replay",
    "restart",
    "run",
    "tasks",
    "token",
    "up",
    "user",
    "verify",
    "watch",
}


def _tidegate(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environment)


def test_help_lists_every_command_with_what_it_does() -> None:
    shown = _tidegate("--help")
    assert shown.exit_code == 0
    listed = re.findall(r"^  ([a-z]+)  +\S", shown.output.partition("Commands:")[2], re.MULTILINE)
    assert set(listed) == _COMMANDS


@pytest.mark.parametrize("command", sorted(_COMMANDS))
def test_every_command_explains_itself(command: str) -> None:
    shown = _tidegate(command, "--help")
    assert shown.exit_code == 0, shown.output
    assert f"{command} [OPTIONS]" in shown.output


def test_a_command_whose_packages_are_missing_is_listed_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = EntryPoint("lacking", "no_such_package.cli:command", ops.cli.ENTRY_POINTS)
    monkeypatch.setattr(
        ops.cli, "entry_points", lambda group, name=None: [lacking] if name in {None, "lacking"} else []
    )
    assert re.search(r"lacking +Needs the package no_such_package", _tidegate("--help").output)
    refused = _tidegate("lacking", "--some", "argument")
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: `tidegate lacking` needs the package no_such_package")


def test_an_unknown_command_is_a_usage_error() -> None:
    assert _tidegate("nothing").exit_code == 2


def test_a_token_is_for_a_customer_by_default() -> None:
    claims = claims_of(_tidegate("token").output.strip(), KeyRing.shared(DEVELOPMENT_SECRET, development=True))
    assert (claims["sub"], claims["roles"]) == ("demo-customer", ["customer"])
    assert claims["exp"] - claims["iat"] == 12 * 3600


def test_token_as_json_says_whose_it_is_and_until_when() -> None:
    shown = _tidegate("token", "--role", "staff", "--subject", "ops", "--hours", "0.5", "--json")
    document = json.loads(shown.output)
    claims = claims_of(document["token"], KeyRing.shared(DEVELOPMENT_SECRET, development=True))
    assert document["subject"] == claims["sub"] == "ops"
    assert document["roles"] == claims["roles"] == ["staff"]
    assert document["expires_at"] == claims["exp"]
    assert abs(claims["exp"] - time.time() - 1800) < 60


def test_token_is_signed_with_the_secret_that_is_set() -> None:
    secret = "another-secret-of-thirty-two-bytes-or-more"
    shown = _tidegate("token", TIDEGATE_JWT_SECRET=secret)
    assert claims_of(shown.output.strip(), KeyRing.shared(secret, development=True))["aud"] == "tidegate"


@pytest.mark.parametrize("arguments", [("--role", "king"), ("--hours", "0"), ("--hours", "-1"), ("extra",)])
def test_token_refuses_invalid_arguments(arguments: tuple[str, ...]) -> None:
    assert _tidegate("token", *arguments).exit_code == 2


def test_an_invalid_setting_is_reported_in_one_line_with_its_name() -> None:
    refused = _tidegate("token", PORT="eight")
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: TIDEGATE_PORT: Input should be a valid integer")
    assert refused.output.count("\n") == 1


def test_production_refuses_the_development_secret() -> None:
    refused = _tidegate("token", TIDEGATE_MODE="production")
    assert refused.output == (
        "Error: TIDEGATE_MODE=production needs TIDEGATE_SIGNING_KEYS, or a TIDEGATE_JWT_SECRET of its own\n"
    )


def test_an_unavailable_database_is_reported_in_one_line(unused_tcp_port: int) -> None:
    refused = _tidegate("migrate", DATABASE_URL=f"postgresql://nobody@127.0.0.1:{unused_tcp_port}/nowhere")
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: ")
    assert f"'127.0.0.1', {unused_tcp_port}" in refused.output
    assert refused.output.count("\n") == 1


def test_one_server_without_the_other_is_refused(tmp_path: Path) -> None:
    refused = _tidegate("up", DATABASE_URL="postgresql://127.0.0.1/shop", TIDEGATE_HOME=str(tmp_path))
    assert refused.exit_code == 1
    assert "set both DATABASE_URL and REDIS_URL" in refused.output


def _wrapped(error: BaseException) -> InterfaceError:
    """asyncpg's error as SQLAlchemy wraps it."""
    adapted = Exception(str(error))
    adapted.__cause__ = error
    return InterfaceError("SELECT 1", None, adapted)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), "Connect call failed"),
        (BusyLoadingError("loading"), "Redis (REDIS_URL): loading"),
        (asyncpg.InvalidPasswordError("wrong"), "Postgres (DATABASE_URL): wrong"),
        (_wrapped(asyncpg.InvalidCatalogNameError("no such database")), "Postgres (DATABASE_URL): no such database"),
        (asyncpg.CannotConnectNowError("starting up"), "Postgres (DATABASE_URL): starting up"),
    ],
)
def test_external_failures_are_explained(error: BaseException, line: str) -> None:
    assert line in (explanation(error) or "")


@pytest.mark.parametrize(
    "error",
    [KeyError("sku"), FileNotFoundError(2, "No such file", "orders.csv"), asyncpg.UniqueViolationError("twice")],
)
def test_bugs_and_missing_files_are_not_explained_away(error: BaseException) -> None:
    assert explanation(error) is None


def test_a_bug_is_shown_as_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def broken() -> None:
        raise KeyError("sku")

    monkeypatch.setattr(ops.cli.Commands, "get_command", lambda *_: broken)
    assert isinstance(_tidegate("broken").exception, KeyError)


def test_commands_use_the_servers_of_the_up_that_runs_here(tmp_path: Path) -> None:
    running = {"DATABASE_URL": "postgresql://here/shop", "REDIS_URL": "redis://here/0"}
    environment = {"TIDEGATE_HOME": str(tmp_path), "PORT": "1"}

    with home.taken(tmp_path), home.announced(tmp_path, {**running, "PORT": "2"}):
        assert stat.S_IMODE((tmp_path / "running.json").stat().st_mode) == 0o600
        home.join_running(environment)

    assert environment == {"TIDEGATE_HOME": str(tmp_path), "PORT": "1", **running}
    assert home.announcement(tmp_path) == {}


def test_a_killed_up_is_not_joined(tmp_path: Path) -> None:
    with home.taken(tmp_path):
        pass
    (tmp_path / "running.json").write_text('{"DATABASE_URL": "postgresql://gone/shop"}')
    assert home.announcement(tmp_path) == {}


def test_servers_in_the_environment_take_precedence(tmp_path: Path) -> None:
    named = {"TIDEGATE_HOME": str(tmp_path), "DATABASE_URL": "postgresql://named/shop"}
    environment = dict(named)
    with home.taken(tmp_path), home.announced(tmp_path, {"DATABASE_URL": "postgresql://here/shop", "REDIS_URL": "r"}):
        home.join_running(environment)
    assert environment == named


def test_only_one_up_runs_in_a_home(tmp_path: Path) -> None:
    with home.taken(tmp_path):
        refused = CliRunner().invoke(up, env={"TIDEGATE_HOME": str(tmp_path)})
    assert refused.exit_code == 1
    assert "another `tidegate up` is running in" in refused.output


def test_a_signal_is_noticed_by_the_next_check(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(stopping, "time", SimpleNamespace(monotonic=lambda: now[0]))
    before = signal.getsignal(signal.SIGTERM)
    with stop_request() as request:
        request.check()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert not request.insisted, "the same request, from a terminal and from `make`"
        with pytest.raises(Stopped):
            request.check()
        now[0] += 2
        signal.raise_signal(signal.SIGINT)
        assert request.insisted
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_restart_is_asked_for_by_a_signal_too() -> None:
    with stop_request() as request:
        signal.raise_signal(RESTART)
        request.check()
        assert request.restart


def test_the_procfiles_defaults_are_those_of_the_settings() -> None:
    fields = {name.upper(): field.default for name, field in Settings.model_fields.items()}
    named = re.findall(r"\$\{(?:TIDEGATE_)?([A-Z_]+):-([^}]*)\}", " ".join(processes.commands().values()))
    assert named
    for name, default in named:
        value = fields[name]
        assert default == (str(value).lower() if isinstance(value, bool) else str(value)), name


def test_processes_get_a_server_under_all_names_of_its_setting() -> None:
    told = processes.environment(
        {"TIDEGATE_DATABASE_URL": "postgresql://other/shop", "PORT": "1", "KEPT": "yes"},
        database_url="postgresql://ours/shop",
        redis_url="redis://ours/0",
        host="127.0.0.1",
        port=8123,
        home=Path(),
    )
    assert "TIDEGATE_DATABASE_URL" not in told
    assert (told["DATABASE_URL"], told["PORT"], told["KEPT"]) == ("postgresql://ours/shop", "8123", "yes")


def test_in_production_the_banner_contains_no_secrets() -> None:
    config = Settings(mode="production", jwt_secret="a-production-secret-of-32-bytes-or-more")
    shown = banner(config, database_url="postgresql://u:pass@db/shop", redis_url="redis://:pass@r/0", sku="MUG")
    assert "/api/docs" in shown
    assert "pass" not in shown
    assert "curl" not in shown


def test_validation_errors_of_other_models_are_bugs() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(port=-1)
    assert explanation(caught.value) == "TIDEGATE_PORT: Input should be greater than or equal to 1"


def test_a_closed_pipe_ends_the_command_quietly() -> None:
    """As in `tidegate export orders -o - | head`; the command prints more than fits into a pipe."""
    program = (
        "import click, sys; from ops import cli\n"
        "cli._load = lambda entry: click.Command('token', callback=lambda: [sys.stdout.buffer.write(b'x' * 65536)"
        " for _ in range(64)])\n"
        "cli.main(['token'])"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 1


def test_bars_are_for_terminals() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from ops.console.progress import bars\nwith bars() as b: b.add_task('x', total=3)"],
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert (done.stdout, done.stderr) == (b"", b"")


def test_processes_find_our_modules_and_their_callers_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their working directory is the home, which has no modules; files named relative to the caller's are still
    found."""
    monkeypatch.chdir(tmp_path)
    told = processes.environment(
        {"PYTHONPATH": "/another/project", "TIDEGATE_SIGNING_KEYS": "keys.json"},
        database_url="postgresql://db/shop?sslrootcert=ca.pem",
        redis_url="redis://ours/0",
        host="127.0.0.1",
        port=8123,
        home=Path("home"),
    )
    assert "PYTHONPATH" not in told
    assert told["TIDEGATE_SIGNING_KEYS"] == str(tmp_path / "keys.json")
    assert told["DATABASE_URL"].endswith(str(tmp_path / "ca.pem").replace("/", "%2F"))


def test_run_becomes_a_line_of_the_procfile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    became: list[tuple[str, list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda *said: became.append(said))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIDEGATE_HOME", "home")
    monkeypatch.setenv("DATABASE_URL", "postgresql://shop@db.example/shop")
    assert _tidegate("run", "worker").exit_code == 0
    ((shell, arguments, environment),) = became
    assert arguments == [shell, "-c", processes.commands()["worker"]]
    assert environment["DATABASE_URL"] == "postgresql://shop@db.example/shop"
    # The processes of one machine count together, and none imports what lies around where it was started.
    assert environment["PROMETHEUS_MULTIPROC_DIR"] == str(tmp_path / "home" / "metrics")
    assert (tmp_path / "home" / "metrics").is_dir()
    assert Path.cwd() == tmp_path / "home"
    assert _tidegate("run", "nobody").exit_code == 2
