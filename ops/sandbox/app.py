"""Runs the sandbox: its file, its webhooks and its HTTP server, on this machine only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from ops.sandbox.api import Api
from ops.sandbox.ledger import Ledger
from ops.sandbox.moods import Control
from ops.sandbox.notices import Notices

HOST: Final = "127.0.0.1"
_STOP_SECONDS: Final = 1.0


@asynccontextmanager
async def running(path: Path, *, port: int, webhook_url: str, secret: str) -> AsyncIterator[Notices]:
    """Serves on this port while the context lasts. `path` is the ledger's file."""
    ledger = Ledger(path)
    try:
        async with Notices(ledger, webhook_url, secret, Control()) as notices:
            api = Api(ledger, notices, secret, f"http://{HOST}:{port}")
            runner = web.AppRunner(api.app(), access_log=None, shutdown_timeout=_STOP_SECONDS)
            await runner.setup()
            try:
                await web.TCPSite(runner, HOST, port, reuse_address=True).start()
                yield notices
            finally:
                await runner.cleanup()
    finally:
        ledger.close()
