"""What tests of payments share: a payment with everything that its provider reported, and a sandbox in this process."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import aiohttp
import msgspec

from domain.ids import new_id
from domain.model import Rejection, Secret
from domain.payments.amounts import Amounts
from domain.payments.entries import REQUESTS, Entry, Kind
from domain.payments.payment import Capture, Payment
from domain.payments.rules import take_report
from ops.ports import free_port
from ops.sandbox.app import running
from ops.sandbox.notices import Notices
from runtime.payments.provider import Act, Attempt, Provider, Report
from runtime.payments.sandbox import Sandbox
from runtime.settings.payments import SANDBOX_SECRET

TIMEOUT_SECONDS: Final = 20.0


def new_uuid(ago: timedelta = timedelta()) -> UUID:
    return new_id((time.time_ns() - int(ago.total_seconds()) * 10**9) // 1_000_000, 7, int.from_bytes(os.urandom(8)))


class Book:
    """One payment as the shop would know it: our requests, and what was reported and believed."""

    def __init__(
        self,
        provider: Provider,
        amount_minor: int = 1_000,
        capture: Capture = "automatic",
        ago: timedelta = timedelta(),
    ) -> None:
        self.provider = provider
        self.payment = Payment(
            new_uuid(ago), new_uuid(), "ann", provider.name, amount_minor, "GBP", capture, provider.capabilities
        )
        self.provider_reference: str | None = None
        self.action_url: Secret | None = None
        self._ask("charge" if capture == "automatic" else "authorization", self.attempt.reference, amount_minor)

    @property
    def attempt(self) -> Attempt:
        return Attempt.of(self.payment, self.provider_reference)

    @property
    def amounts(self) -> Amounts:
        return self.payment.amounts

    def take(self, report: Report) -> list[Entry]:
        """Believes a report; returns what was new in it."""
        assert report.payment_id == self.payment.id
        self.provider_reference = self.provider_reference or report.provider_reference
        self.action_url = report.action_url
        assert report.provider_reference in (None, self.provider_reference)
        new = []
        for entry in report.entries:
            assert entry.url is None, "where the buyer has to go is a secret, and entries are in the log"
            taken = take_report(self.payment, entry, report.currency)
            assert not isinstance(taken, Rejection), taken
            if taken is not None:
                self._add(taken)
                new.append(taken)
        return new

    async def create(self, method: str | None = None, return_url: str | None = None) -> list[Entry]:
        return self.take(await self.provider.create(self.attempt, method=method, return_url=return_url))

    async def capture(self, amount_minor: int) -> Act:
        act = self._ask("charge", str(new_uuid()), amount_minor)
        self.take(await self.provider.capture(self.attempt, act))
        return act

    async def void(self) -> Act:
        act = self._ask("cancel", str(new_uuid()), self.payment.capturable)
        self.take(await self.provider.void(self.attempt, act))
        return act

    async def refund(self, amount_minor: int) -> Act:
        act = self._ask("refund", str(new_uuid()), amount_minor)
        self.take(await self.provider.refund(self.attempt, act))
        return act

    def _ask(self, kind: Kind, reference: str, amount_minor: int) -> Act:
        self._add(Entry(REQUESTS[kind], reference, amount_minor, datetime.now(UTC)))
        return Act(reference, amount_minor)

    def _add(self, entry: Entry) -> None:
        self.payment = msgspec.structs.replace(self.payment, entries=(*self.payment.entries, entry))


class SandboxHere:
    """A sandbox in this process, its client, and its controls. What it sends to the shop goes to `webhook_url`."""

    def __init__(self, path: Path, session: aiohttp.ClientSession, webhook_url: str) -> None:
        self.path = path
        self.port = free_port()
        self.session = session
        self.webhook_url = webhook_url
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = self._client(self.url)
        self.unreachable = self._client(f"http://127.0.0.1:{free_port()}")
        self.impatient = self._client(self.url, timeout_seconds=0.2)

    def _client(self, url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> Sandbox:
        return Sandbox(self.session, url, SANDBOX_SECRET, timeout_seconds=timeout_seconds)

    def running(self) -> AbstractAsyncContextManager[Notices]:
        """A context in which it runs; it may run several times, one after another, over the same file."""
        return running(self.path, port=self.port, webhook_url=self.webhook_url, secret=SANDBOX_SECRET)

    async def control(self, **told: Any) -> None:
        async with self.session.put(f"{self.url}/control", json=told, headers=self.headers) as response:
            assert response.status == 200, await response.text()

    async def asks(self, verb: str, path: str, **how: Any) -> tuple[int, Any]:
        """Any request to its API; returns the status and the body."""
        headers: Mapping[str, str] = {**self.headers, **how.pop("headers", {})}
        async with self.session.request(verb, f"{self.url}{path}", headers=headers, **how) as response:
            return response.status, await response.json()

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {SANDBOX_SECRET}"}


@asynccontextmanager
async def sandbox_here(folder: Path, webhook_url: str = "http://127.0.0.1:9/") -> AsyncIterator[SandboxHere]:
    """A running one."""
    async with aiohttp.ClientSession() as session:
        sandbox = SandboxHere(folder / "sandbox.sqlite3", session, webhook_url)
        async with sandbox.running():
            yield sandbox
