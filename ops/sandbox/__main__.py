"""`python -m ops.sandbox`: the Procfile's `sandbox`."""

import asyncio
import signal
from typing import Final

from ops.processes import reachable
from ops.sandbox.app import running
from runtime import logs
from runtime.settings import Settings, settings

_FILE: Final = "sandbox.sqlite3"


async def _serve(config: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    config.home.mkdir(parents=True, exist_ok=True)
    async with running(
        config.home / _FILE,
        port=config.sandbox_port,
        webhook_url=f"http://{reachable(config.host)}:{config.port}/hooks/payments/sandbox",
        secret=config.sandbox_secret.get_secret_value(),
    ):
        await stop.wait()


if __name__ == "__main__":
    logs.configure(settings().log_level, as_json=settings().logs_json)
    asyncio.run(_serve(settings()))
