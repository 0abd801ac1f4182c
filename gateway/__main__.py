"""Runs the gateway's processes: `python -m gateway`. The settings say where they listen and how many there are. Another
ASGI app, or the `create_app` of another module, can be named to be served in the same way.
"""

import multiprocessing
import os
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module
from typing import Final

import uvicorn
from uvicorn import _subprocess
from uvicorn.supervisors import Multiprocess

from runtime import garbage
from runtime.settings import Settings, settings

_APP: Final = "gateway.app:create_app"

# The largest message that a client may send over a WebSocket.
_MESSAGE_MAX_BYTES: Final = 65_536

# uvicorn's exit code for an app that fails while it starts.
_NOT_STARTED: Final = 3


def main() -> None:
    config = settings()
    app = sys.argv[1] if len(sys.argv) > 1 else _APP
    served = uvicorn.Config(
        app,
        factory=app.endswith(":create_app"),
        workers=config.gateway_processes,
        loop="uvloop",
        http="gateway.server.http1:BoundedHttp",
        ws="gateway.server.websocket:BoundedWebSocket",
        ws_per_message_deflate=config.socket_compression,
        ws_max_size=_MESSAGE_MAX_BYTES,
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=config.stop_seconds - config.stop_notice_seconds,
        timeout_keep_alive=config.keep_alive_seconds,
    )
    try:
        listener = _bound(config)
    except OSError as error:
        sys.exit(f"cannot listen on port {config.port} of {config.host}: {error}")
    with suppress(KeyboardInterrupt):
        if served.workers > 1:
            if sys.platform != "darwin":  # macOS frameworks do not survive a fork
                _import_before_forking(app)
            _Gateways(served, [listener]).run()
            return
        server = uvicorn.Server(served)
        server.run([listener])
        if not server.started:
            sys.exit(_NOT_STARTED)


def _bound(config: Settings) -> socket.socket:
    """The port, not listening yet."""
    listener = socket.socket(socket.AF_INET6 if ":" in config.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if config.port_shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((config.host, config.port))
    return listener


def _import_before_forking(app: str) -> None:
    """Imports the app once, before forking: uvicorn would start a new Python for each process, which imports it all
    again."""
    import_module(app.partition(":")[0])
    garbage.calm()
    _subprocess.spawn = multiprocessing.get_context("fork")  # type: ignore[assignment]
    heard = {signal.SIGINT, signal.SIGTERM}

    def hear_them_by_default() -> None:
        """Restores the default handlers: the parent's only take note of a signal, so a process that is told to end
        before it serves would continue."""
        for each in heard:
            signal.signal(each, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, heard)

    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, heard),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, heard),
        after_in_child=hear_them_by_default,
    )


class _Gateways(Multiprocess):
    """Several processes on one port."""

    def terminate_all(self) -> None:
        """Also closes the parent's copy of the port: while it is open, connections are made that nobody accepts."""
        super().terminate_all()
        for listener in self.sockets:
            listener.close()


if __name__ == "__main__":
    main()
