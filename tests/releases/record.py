"""Records what this code says to Postgres.

`python -m tests.releases.record FILE` runs a small shop through a recorder: all of its processes, while somebody
orders, imports, asks for a report and looks at everything; then batches with every command there is, some of which
still wait in the end. See `tests/data/past/README.md`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

import asyncpg
from redis.asyncio import Redis

from runtime.database import asyncpg_dsn
from tests import servers
from tests.integration.shopfloor import Shopfloor
from tests.past import MAILBOXES
from tests.past.writer import Writer
from tests.releases.recorder import Recorder
from tests.releases.replay import Replay, prepare
from tests.releases.wire import Recording
from tests.system import System

_ALL: Final = ("gateway", "worker", "background", "scheduler")
_API: Final = "/api/v1"
_PLENTY: Final = 1_000
_LOOK_SECONDS: Final = 0.1
_WITHIN_SECONDS: Final = 30.0


class _Recorded(System):
    """A system whose processes reach Postgres through the recorder only."""

    recorder: Recorder

    @property
    def environment(self) -> dict[str, str]:
        """The code is that of the current folder, whatever is installed."""
        found = super().environment
        code = {"PYTHONPATH": os.pathsep.join((found["PYTHONPATH"], str(Path.cwd())))}
        return {**found, **code, "DATABASE_URL": self.recorder.leads_to(found["DATABASE_URL"])}


class _Client:
    """The API, as one principal."""

    def __init__(self, system: System, role: str) -> None:
        self._system = system
        self._token = system.token(role)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The answer's JSON, or nothing for another kind. Refusals are not the concern here."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        said = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json", "Prefer": "wait=10"}
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self._system.url + path, data, {**said, **names}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_WITHIN_SECONDS) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            content = error.read()
        return json.loads(content) if content[:1] in (b"{", b"[") else None

    def until(self, path: str, *states: str) -> None:
        """Waits until the resource at that path has one of these states."""
        deadline = time.monotonic() + _WITHIN_SECONDS
        while self.ask("GET", path)["status"] not in states:
            assert time.monotonic() < deadline, path
            time.sleep(_LOOK_SECONDS)


def _live(system: System) -> None:
    """A little of everything that people do."""
    admin, customer = _Client(system, "admin"), _Client(system, "customer")
    category = admin.ask("POST", f"{_API}/categories", {"slug": "pots", "name": "Pots"})["id"]
    product = admin.ask(
        "POST",
        f"{_API}/products",
        {
            "slug": "kettle",
            "name": "Kettle",
            "status": "active",
            "category_id": category,
            "variants": [{"sku": "KETTLE", "price_minor": 250, "currency": "GBP"}],
        },
    )["id"]
    admin.ask("POST", f"{_API}/inventory/KETTLE/receipts", {"quantity": _PLENTY})
    orders = [
        customer.ask("POST", f"{_API}/orders", {"lines": [{"sku": "KETTLE", "quantity": 1}]})["id"] for _ in range(5)
    ]
    customer.ask("POST", f"{_API}/orders/{orders[0]}/confirm")
    customer.ask("POST", f"{_API}/orders/{orders[1]}/cancel")
    admin.ask("PATCH", f"{_API}/products/{product}/variants/KETTLE", {"price_minor": 260})
    customer.ask("POST", f"{_API}/orders", {"lines": [{"sku": "KETTLE", "quantity": _PLENTY}]})
    ann = {"email": "ann@x.org", "name": "Ann", "password": "a long password", "role": "customer"}
    user = admin.ask("POST", f"{_API}/users", ann)["id"]
    sheet = b"slug,name,sku,price_minor,currency,on_hand\n" + b"".join(
        b"pan-%d,Pan %d,PAN-%d,%d,GBP,5\n" % (n, n, n, 100 + n) for n in range(20)
    )
    jobs = []
    for query in ("?dry_run=true", ""):
        path = admin.ask("POST", f"{_API}/imports{query}", sheet, Content_Type="text/csv")["status_url"]
        admin.until(path, "succeeded", "failed")
        jobs.append(path)
    asked = {"kind": "sales", "from": "2026-01-01", "to": "2026-12-31", "by": "sku"}
    report = admin.ask("POST", f"{_API}/reports", asked)["id"]
    admin.until(f"{_API}/reports/{report}", "succeeded", "failed")
    hook = admin.ask("POST", f"{_API}/webhooks", {"url": "https://x.org/hook", "event_types": ["product.*"]})["id"]
    key = admin.ask("POST", f"{_API}/keys", {"name": "till", "role": "staff", "scopes": ["orders:read"]})["id"]
    command = admin.ask("GET", f"{_API}/events?limit=1")["items"][0]["commandid"]
    _look(
        (admin, customer),
        admin.ask("GET", "/api/openapi.json"),
        {
            "category_id": category,
            "product_id": product,
            "order_id": orders[0],
            "sku": "KETTLE",
            "user_id": user,
            "report_id": report,
            "import_id": jobs[1].rpartition("/")[2],
            "webhook_id": hook,
            "key_id": key,
            "command_id": command,
            "task_id": command,
        },
    )


_ASKED: Final = ("products?q=kettle", "products?sort=name&page=2", "products?in_stock=true", "orders?status=placed")


def _look(clients: tuple[_Client, ...], document: Any, ids: dict[str, str]) -> None:
    """Reads whatever can be read."""
    paths = [
        path.format(**ids) for path, item in document["paths"].items() if "get" in item and not path.endswith("/stream")
    ]
    for client in clients:
        for path in (*paths, *(f"{_API}/{asked}" for asked in _ASKED)):
            client.ask("GET", path)


async def _batches(database_url: str, direct_url: str, redis_url: str) -> tuple[str, str, dict[str, bytes]]:
    """Applies every kind of command, in batches; returns the database's revision, its log, and the contents of
    Redis."""
    async with Shopfloor(database_url, redis_url, mailbox_count=MAILBOXES) as floor:
        floor.database_url = direct_url  # what the proof asks is no part of what the shop says
        await Writer(floor).write()
    keys: dict[str, bytes] = {}
    async with Redis.from_url(redis_url) as client:
        async for key in client.scan_iter():
            if await client.ttl(key) == -1 and (dumped := await client.dump(key)) is not None:
                keys[key.decode()] = dumped
    connection = await asyncpg.connect(asyncpg_dsn(direct_url))
    revision: str = await connection.fetchval("SELECT version_num FROM alembic_version")
    log: str = await connection.fetchval("SELECT identity::text FROM log_branches")
    await connection.close()
    return revision, log, keys


def main() -> None:
    system = _Recorded({"TIDEGATE_MAILBOX_COUNT": str(MAILBOXES), "TIDEGATE_WORKER_PROCESSES": "1"})
    with Recorder(system.postgres.port) as recorder:
        system.recorder = recorder
        with system:
            _live(system)
            for name in _ALL:
                system.stop_process(name)
            url = system.postgres.url
            revision, log, keys = asyncio.run(_batches(recorder.leads_to(url), url, system.valkey.url))
    recording = Recording(revision, log, keys, recorder.sessions, recorder.exchanges())
    _settle(recording)
    recording.write(Path(sys.argv[1]))


def _settle(recording: Recording) -> None:
    """Replaces each answer by the one that a replay gets: Postgres generates some values anew, such as lease tokens,
    and queries for the recorded ones find nothing."""
    with servers.databases() as databases, databases.empty() as url:
        asyncio.run(prepare(recording, url))
        with Replay(recording, url) as replay:
            for otherwise in replay.play(0, len(recording.exchanges)):
                recording.exchanges[otherwise.number].tags = otherwise.answered


if __name__ == "__main__":
    main()
