"""A client of the API, as one principal. It sends what a test asks for, valid or not, and returns the answer.

What holds for every answer is checked here, once: each carries a request id, is documented, and each error is a problem
document (RFC 9457). A broken connection fails the test; tests of faults have their own client.
"""

import asyncio
import json
from collections.abc import AsyncIterable, Mapping
from typing import Any, Final, NamedTuple

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.apidocs.problem_members import members_of
from tests import pace
from tests.e2e.documented import judge

API: Final = "/api/v1"
PROBLEM: Final = "application/problem+json"

MEMBERS_OF_ALL: Final = frozenset({"type", "title", "status", "detail", "code"})

# Long enough for a busy machine: a test that reaches it has found a bug.
WAIT_SECONDS: Final = 30  # the gateway's maximum
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
        """The answer's JSON; fails unless it has this status."""
        assert self.status == status, f"expected {status}, got {self.status}: {self.body!r}"
        assert self.headers["Content-Type"] == "application/json"
        return self.json()

    def problem(self, status: int, code: str) -> dict[str, Any]:
        """The answer's problem document; fails unless it is this problem."""
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
        """The pointers at which the request does not fit its schema."""
        return {error["pointer"] for error in self.problem(422, "invalid_request")["errors"]}


class Client:
    """The API as the holder of `token` sees it, or as the public does without one."""

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
        """Sends exactly this: no content type is added."""
        sent = CIMultiDict(headers or {})
        if self._token is not None:
            sent.setdefault("Authorization", f"Bearer {self._token}")
        async with self._http.request(
            method, self._url + path, data=data, headers=sent, params=params, skip_auto_headers=["Content-Type"]
        ) as response:
            answer = Answer(response.status, response.headers, await response.read())
        assert len(answer.headers.getall("X-Request-ID")) == 1
        if answer.status >= 400 and method != "HEAD" and not path.startswith("/health/"):  # whose 503 is a view
            answer.problem(answer.status, answer.json()["code"])
        judge(method, path.partition("?")[0], answer.status, answer.headers.get("Content-Type", ""), answer.body)
        return answer

    async def get(self, path: str, **params: str | int) -> Answer:
        return await self.request("GET", API + path, params=params)

    async def pages(self, path: str, limit: int) -> list[list[dict[str, Any]]]:
        """All pages of a list."""
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
        """Sends a write and waits for its outcome unless `wait` is None; `key` is its Idempotency-Key. Bytes are sent
        as they are, any other body as JSON.
        """
        sent = {"Content-Type": "application/json", **(headers or {})}
        if wait is not None:
            sent["Prefer"] = f"wait={wait}"
        if key is not None:
            sent["Idempotency-Key"] = key
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.request("POST", API + path, data=data, headers=sent)

    async def patch(self, path: str, body: Any) -> Answer:
        """Changes something, and waits for the outcome by default."""
        sent = {"Content-Type": "application/json"}
        return await self.request("PATCH", API + path, data=json.dumps(body).encode(), headers=sent)

    async def put(self, path: str, body: Any) -> Answer:
        """States something anew, and waits for the outcome by default."""
        sent = {"Content-Type": "application/json"}
        return await self.request("PUT", API + path, data=json.dumps(body).encode(), headers=sent)

    async def delete(self, path: str) -> Answer:
        return await self.request("DELETE", API + path)

    async def place(
        self, lines: Mapping[str, int], *, wait: int | None = WAIT_SECONDS, key: str | None = None
    ) -> Answer:
        """POST /orders of `lines`, a quantity for each SKU."""
        return await self.post("/orders", order_body(lines), wait=wait, key=key)

    async def placed(self, lines: Mapping[str, int]) -> dict[str, Any]:
        """Places an order, which must succeed, and returns it."""
        order: dict[str, Any] = (await self.place(lines)).ok(201)
        return order

    async def cancel(self, order_id: str, *, wait: int | None = WAIT_SECONDS) -> Answer:
        return await self.post(f"/orders/{order_id}/cancel", wait=wait)

    async def inventory(self, sku: str) -> tuple[int, int, int]:
        """(on hand, reserved, available) of a SKU."""
        stock = (await self.get(f"/inventory/{sku}")).ok()
        return stock["on_hand"], stock["reserved"], stock["available"]

    async def settled(self, command_id: str) -> dict[str, Any]:
        """Waits until the command has an outcome, and returns it."""
        async with pace.timeout(WAIT_SECONDS):
            while (command := (await self.get(f"/commands/{command_id}")).ok())["status"] == "accepted":
                await asyncio.sleep(_LOOK_SECONDS)
        assert isinstance(command, dict)
        return command


def order_body(lines: Mapping[str, int]) -> dict[str, Any]:
    return {"lines": [{"sku": sku, "quantity": quantity} for sku, quantity in lines.items()]}
