"""What `python -m gateway` tells uvicorn."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn

import gateway.__main__ as entry
from ops.ports import free_port
from runtime.settings import Settings
from tests import pace
from tests.system import eventually

# nginx's default; most load balancers keep connections for less.
PROXIES_KEEP_SECONDS: Final = 75


class _Server(uvicorn.Server):
    """Notes what it was told, and ends at once."""

    told: uvicorn.Config

    def run(self, sockets: Any = None) -> None:
        for listener in sockets:
            listener.close()
        self.started = True
        _Server.told = self.config


def _told(monkeypatch: pytest.MonkeyPatch, **settings: object) -> uvicorn.Config:
    monkeypatch.setattr("sys.argv", ["gateway"])
    monkeypatch.setattr(uvicorn, "Server", _Server)
    monkeypatch.setattr(entry, "settings", lambda: Settings(port=free_port(), **settings))  # type: ignore[arg-type]
    entry.main()
    return _Server.told


def test_an_idle_connection_is_kept_longer_than_proxies_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _told(monkeypatch).timeout_keep_alive > PROXIES_KEEP_SECONDS
    assert _told(monkeypatch, keep_alive_seconds=100).timeout_keep_alive == 100


def test_all_that_a_shutdown_takes_is_within_one_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _told(monkeypatch, stop_seconds=20, stop_notice_seconds=5).timeout_graceful_shutdown == 15


# An app that notes which processes import and which serve it, and that tells the first one forked to end.
_NOTING_APP: Final = """
import os, pathlib, signal

FOLDER = pathlib.Path(__file__).parent
(FOLDER / f"imported {os.getpid()}").touch()

def end_the_first():
    try:
        (FOLDER / "first").touch(exist_ok=False)  # of two at once, one
    except FileExistsError:
        return
    (FOLDER / f"told {os.getpid()}").touch()
    os.kill(os.getpid(), signal.SIGTERM)

os.register_at_fork(after_in_child=end_the_first)

def create_app():
    (FOLDER / f"served {os.getpid()}").touch()

    async def app(scope, receive, send):
        assert scope["type"] == "lifespan"
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})

    return app
"""


@pytest.mark.skipif(sys.platform == "darwin", reason="gateways are not forked there")
def test_processes_are_forked_after_the_import_and_one_told_to_end_before_it_serves_ends(tmp_path: Path) -> None:
    (tmp_path / "noting.py").write_text(_NOTING_APP)

    def noted(what: str) -> set[int]:
        return {int(note.name.split()[1]) for note in tmp_path.glob(f"{what} *")}

    environment = {**os.environ, "TIDEGATE_GATEWAY_PROCESSES": "2", "TIDEGATE_PORT": str(free_port())}
    command = [sys.executable, "-m", "gateway", "noting:create_app"]
    environment["PYTHONPATH"] = str(tmp_path)
    with subprocess.Popen(command, env=environment, cwd=tmp_path, start_new_session=True) as parent:
        try:
            eventually("two that serve", lambda: len(noted("served")) == 2, within_seconds=20)
            parent.send_signal(signal.SIGTERM)
            assert parent.wait(pace.seconds(20)) == 0
        finally:
            with suppress(ProcessLookupError):
                os.killpg(parent.pid, signal.SIGKILL)
    assert noted("imported") == {parent.pid}
    assert len(noted("told")) == 1
    assert not noted("told") & noted("served")
