"""The machine and configuration of a run of the benchmarks, without which its numbers mean nothing."""

from __future__ import annotations

import asyncio
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psutil

from loadtests.bench.served import CONNECTIONS
from loadtests.bench.stage import Stage
from runtime.redis_client import connect

_PACKAGES: Final = ("asyncpg", "fastapi", "redis", "sqlalchemy", "taskiq", "uvicorn", "uvloop")
_POSTGRES_SETTINGS: Final = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "shared_buffers",
    "max_wal_size",
)
_VALKEY_SETTINGS: Final = ("appendonly", "appendfsync")
_TIDEGATE_SETTINGS: Final = (
    "gateway_processes",
    "worker_processes",
    "mailbox_count",
    "batch_max_commands",
    "batch_concurrency",
)


# If the machine is busier than this, something else affects what is measured.
_QUIET_PERCENT: Final = 10.0
_LISTEN_SECONDS: Final = 1.0


def busy_percent() -> float:
    """How busy the machine's cores are before anything of ours runs: 0..100."""
    return float(psutil.cpu_percent(_LISTEN_SECONDS))


def noise(busy: float) -> str | None:
    """A warning, if the machine is too busy to measure on."""
    if busy <= _QUIET_PERCENT:
        return None
    return f"the machine was {busy:.0f}% busy before the start: expect lower rates, and ratios that are off"


def configuration(stage: Stage, busy: float) -> dict[str, str]:
    """Names and values, for people and programs."""
    postgres = {name: stage.postgres.psql(f"SHOW {name}") for name in _POSTGRES_SETTINGS}
    return {
        "cpu": f"{_cpu_model()}, {psutil.cpu_count()} cores, {busy:.0f}% busy before the start",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "postgres": ", ".join(f"{name} {value}" for name, value in postgres.items()),
        "valkey": ", ".join(f"{name} {value}" for name, value in asyncio.run(_valkey_settings(stage)).items()),
        "tidegate": ", ".join(f"{name} {getattr(stage.config, name)}" for name in _TIDEGATE_SETTINGS),
        "load": f"{CONNECTIONS} keep-alive connections from one process on the same machine",
    }


async def _valkey_settings(stage: Stage) -> dict[str, str]:
    async with connect(stage.valkey.url) as client:
        server, chosen = await client.info("server"), await client.config_get(*_VALKEY_SETTINGS)
    return {"version": str(server["valkey_version"]), **{name: str(chosen[name]) for name in _VALKEY_SETTINGS}}


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
