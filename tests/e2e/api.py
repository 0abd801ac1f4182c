"""A client of the API, as one principal. It sends what a test asks for, however wrong, and hands back the answer.

What holds for every answer is checked here, once: each carries an id to find it by, and each error is a problem
document (RFC 9457). A broken connection is a failed test here; tests of faults have a client of their own.
"""

import asyncio
import json
from collections.abc import AsyncIterable, Mapping
from typing import Any, Final, NamedTuple

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.apidocs.problem_members import members_of
from tests import pace

API: Final = "/api/v1"
PROBLEM: Final = "application/problem+json"

MEMBERS_OF_ALL: Final = frozenset({"type", "title", "status", "detail", "code"})

# Long enough for a busy machine. A test that runs into it has found something.
WAIT_SECONDS: Final = 30  # the most that the gateway grants
_LOOK_SECONDS: Final = 0.02

Headers = Mapping[str, str] | list[tuple[str, str]]


class Answer(NamedTuple):
    """A whole response."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def ok(self, status: int = 200) -> Any:
        """The JSON of an answer that must have this status."""
        assert self.status == status, f"expected {status}, got {self.status}: {self.body!r}"
        assert self.headers["Content-Type"] == "application/json"
        return self.json()

    def problem(self, status: int, code: str) -> dict[str, Any]:
        """The problem document of an answer that must be this problem."""
        assert (self.status, self.headers["Content-Type"]) == (status, PROBLEM), self.body
        document: dict[str, Any] = self.json()
        assert document["code"] == code, document
        assert document["status"] == status
        assert document["type"] == f"urn:tidegate:problem:{code}"
        assert document["title"]
        assert document["detail"]
        assert document.keys() - MEMBERS_OF_ALL <= members_of(code), f"problem_members.py lacks some of: {document}"
        assert ("WWW-Authenticate" in self.headers) == (status == 401)
        assert ("Retry-After" in self.headers) == (status in (429, 503))
        return document

    def pointers(self) -> set[str]:
        """Where a request did not fit its schema."""
        return {error["pointer"] for error in self.problem(422, "invalid_request")["errors"]}


class Client:
    """The API as whoever has `token` sees it; without one, as anybody does."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str | None, principal: str = "") -> None:
        self._http = http
        self._url = url
        self._token = token
        self.principal = principal

    async def request(
        self,
        method: str,
        path: str,
        *,
        data: bytes | AsyncIterable[bytes] | None = None,
        headers: Headers | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> Answer:
        """Sends this and nothing else: no content type is added."""
        sent = CIMultiDict(headers or {})
        if self._token is not None:
            sent.setdefault("Authorization", f"Bearer {self._token}")
        async with self._http.request(
            method, self._url + path, data=data, headers=sent, params=params, skip_auto_headers=["Content-Type"]
        ) as response:
            answer = Answer(response.status, response.headers, await response.read())
        assert len(answer.headers.getall("X-Request-ID")) == 1
        if answer.status >= 400 and method != "HEAD":
            answer.problem(answer.status, answer.json()["code"])
        return answer

    async def get(self, path: str, **params: str | int) -> Answer:
        return await self.request("GET", API + path, params=params)

    async def pages(self, path: str, limit: int) -> list[list[dict[str, Any]]]:
        """A list, page by page, to its end."""
        pages = []
        cursor: dict[str, str] = {}
        while True:
            page = (await self.get(path, limit=limit, **cursor)).ok()
            pages.append(page["items"])
            if page["next_cursor"] is None:
                return pages
            cursor = {"cursor": page["next_cursor"]}

    async def post(
        self,
        path: str,
        body: Any = None,
        *,
        wait: int | None = WAIT_SECONDS,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A write, waiting for its outcome unless `wait` is None; `key` is its Idempotency-Key. A body that is bytes
        is sent as it is, any other as JSON.
        """
        sent = {"Content-Type": "application/json", **(headers or {})}
        if wait is not None:
            sent["Prefer"] = f"wait={wait}"
        if key is not None:
            sent["Idempotency-Key"] = key
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.request("POST", API + path, data=data, headers=sent)

    async def place(
        self, lines: Mapping[str, int], *, wait: int | None = WAIT_SECONDS, key: str | None = None
    ) -> Answer:
        """POST /orders of `lines`, a quantity for each SKU."""
        return await self.post("/orders", order_body(lines), wait=wait, key=key)

    async def placed(self, lines: Mapping[str, int]) -> dict[str, Any]:
        """The order, which must come about."""
        order: dict[str, Any] = (await self.place(lines)).ok(201)
        return order

    async def cancel(self, order_id: str, *, wait: int | None = WAIT_SECONDS) -> Answer:
        return await self.post(f"/orders/{order_id}/cancel", wait=wait)

    async def inventory(self, sku: str) -> tuple[int, int, int]:
        """(on hand, reserved, available) of a SKU."""
        stock = (await self.get(f"/inventory/{sku}")).ok()
        return stock["on_hand"], stock["reserved"], stock["available"]

    async def settled(self, command_id: str) -> dict[str, Any]:
        """The command, once it has an outcome."""
        async with pace.timeout(WAIT_SECONDS):
            while (command := (await self.get(f"/commands/{command_id}")).ok())["status"] == "accepted":
                await asyncio.sleep(_LOOK_SECONDS)
        assert isinstance(command, dict)
        return command


def order_body(lines: Mapping[str, int]) -> dict[str, Any]:
    return {"lines": [{"sku": sku, "quantity": quantity} for sku, quantity in lines.items()]}
