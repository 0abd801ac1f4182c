"""The API as clients see it while things break: one request, one reply of any kind.

A broken connection is a reply too (status 0), because under faults clients get that as well. Nothing is sent twice
here: retrying is the caller's decision (see `tests.e2e.load`).
"""

import time
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Final, NamedTuple, Self

import aiohttp

from tests import pace
from tests.e2e.api import API, PROBLEM, order_body
from tests.system import System

NO_ANSWER: Final = 0

# Longer than anything the gateway waits for: a request that reaches it was forgotten.
_ANSWER_TIMEOUT_SECONDS: Final = 15.0
_IDLE_SECONDS: Final = 2.0
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Reply(NamedTuple):
    """An answer and when it arrived, on the monotonic clock. `status` is 0 if there was none."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]
    at: float

    @property
    def code(self) -> str | None:
        """The problem's code, if this is a problem."""
        return self.body.get("code")

    def says_come_back(self, code: str) -> bool:
        """Whether this is a 503 as documented: with this problem, and when to retry."""
        return (self.status, self.headers.get("Content-Type"), self.code) == (503, PROBLEM, code) and int(
            self.headers.get("Retry-After", "0")
        ) >= 1


class FaultsClient:
    """Sends requests as the named customers, or as staff. An async context manager."""

    def __init__(self, system: System, *, staff: str = "staff") -> None:
        self._system = system
        self._staff = staff
        self._tokens: dict[str | None, str] = {}
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        # Idle connections are closed before the gateway closes them (after 5 s), or a request might run into that.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=pace.seconds(_ANSWER_TIMEOUT_SECONDS))
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, path: str, *, customer: str | None = None) -> Reply:
        """`path` is what follows /api/v1."""
        return await self._ask("GET", API + path, customer)

    async def post(
        self, path: str, body: object, *, customer: str | None = None, key: str | None = None, wait: int | None = None
    ) -> Reply:
        """`key` is the Idempotency-Key, `wait` the seconds of `Prefer: wait`."""
        return await self.ask("POST", path, body, customer=customer, key=key, wait=wait)

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        customer: str | None = None,
        key: str | None = None,
        wait: int | None = None,
    ) -> Reply:
        """Any request, as `post` sends one."""
        headers = {}
        if key is not None:
            headers["Idempotency-Key"] = key
        if wait is not None:
            headers["Prefer"] = f"wait={wait}"
        return await self._ask(method, API + path, customer, body, headers)

    async def place(
        self, lines: Mapping[str, int], *, customer: str = "patient", key: str | None = None, wait: int | None = None
    ) -> Reply:
        """Orders a quantity of each SKU."""
        return await self.post("/orders", order_body(lines), customer=customer, key=key, wait=wait)

    async def get_url(self, url: str, *, customer: str = "patient") -> Reply:
        """`url` is one that an answer named."""
        return await self._ask("GET", url, customer)

    async def health(self) -> Reply:
        return await self.get_health("ready")

    async def get_health(self, path: str) -> Reply:
        """`path` is what follows /health."""
        return await self._ask("GET", f"/health/{path}", None)

    async def metric(self, name: str) -> float | None:
        """The value of a metric without labels, as a scrape shows it; None if it is not there."""
        async with self._session.get(f"{self._system.url}/metrics") as response:
            lines = (await response.text()).splitlines()
        return next((float(line.split()[1]) for line in lines if line.startswith(f"{name} ")), None)

    async def _ask(
        self,
        method: str,
        path: str,
        customer: str | None,
        body: object = None,
        headers: Mapping[str, str] = _NOTHING,
    ) -> Reply:
        try:
            async with self._session.request(
                method,
                self._system.url + path,
                json=body,
                headers={"Authorization": f"Bearer {self._token(customer)}", **headers},
            ) as response:
                return Reply(
                    response.status, response.headers, await response.json(content_type=None), time.monotonic()
                )
        except (aiohttp.ClientError, TimeoutError):
            return Reply(NO_ANSWER, _NOTHING, {}, time.monotonic())

    def _token(self, customer: str | None) -> str:
        if customer not in self._tokens:
            self._tokens[customer] = self._system.token("customer" if customer else self._staff, customer)
        return self._tokens[customer]
