"""Embedded servers that root starts: they run as another account, which can reach its files and no others."""

import os
import stat
from pathlib import Path

import psutil
import pytest

from ops.embedded import account as accounts
from ops.embedded import postgres as embedded_postgres
from ops.embedded.postgres import PostgresServer

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root has another account to run a server as"),
]


def test_as_root_postgres_runs_as_nobody_who_can_traverse_but_not_list_folders(home: Path) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    server = PostgresServer(closed / "home", settings=embedded_postgres.NOT_DURABLE)
    server.start()
    try:
        assert psutil.Process(server.pid).username() == "nobody"
        assert server.data.owner() == "nobody"
        assert stat.S_IMODE(closed.stat().st_mode) == 0o701
    finally:
        server.stop()


def test_as_root_programs_installed_under_a_strict_umask_are_opened(home: Path) -> None:
    account = accounts.server_account()
    assert account is not None
    install = home / "install"
    (install / "bin").mkdir(parents=True, mode=0o700)
    program, library = install / "bin" / "postgres", install / "library.so"
    for file, mode in ((program, 0o700), (library, 0o600)):
        file.touch()
        file.chmod(mode)
    install.chmod(0o700)

    accounts.open_programs(account, install)

    assert stat.S_IMODE(program.stat().st_mode) == 0o705
    assert stat.S_IMODE(library.stat().st_mode) == 0o604
    assert stat.S_IMODE((install / "bin").stat().st_mode) == 0o705
