"""A service of the shop's own that stands behind a provider: asked over HTTP, in JSON, and bounded in time and size."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, TypeVar

import aiohttp
import msgspec

from runtime.outside import OutcomeUnknown, Refused

ANSWER_MAX_BYTES: Final = 4_194_304

_CHUNK_BYTES: Final = 65_536

_Said = TypeVar("_Said")


class Service:
    """The client. `called` is what errors call the service, and `secret` is sent as a bearer token. A repeated call has
    the same `Idempotency-Key`. 422 is a refusal, which is not asked again; any other answer than 2xx is no answer."""

    def __init__(
        self, called: str, session: aiohttp.ClientSession, url: str, secret: str, *, timeout_seconds: float
    ) -> None:
        self._called = called
        self._session = session
        self._url = url.rstrip("/")
        self._secret = secret
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    async def ask(self, what: str, body: object, key: str, said: type[_Said]) -> _Said:
        """What the service says to `POST {url}/{what}`. Raises Refused or OutcomeUnknown."""
        answer = await self.tell(what, body, key)
        try:
            return msgspec.json.decode(answer, type=said)
        except ValueError as error:
            raise OutcomeUnknown(f"{self._called} answered something unreadable") from error

    async def tell(self, what: str, body: object, key: str) -> bytes:
        """The same, whatever is answered. Raises Refused or OutcomeUnknown."""
        headers = {
            "Authorization": f"Bearer {self._secret}",
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        }
        data = msgspec.json.encode(body)
        try:
            async with self._session.post(
                f"{self._url}/{what}", data=data, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                status, answer = response.status, await self._bounded(response)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise OutcomeUnknown(f"{self._called} did not answer: {type(error).__name__}") from error
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            raise Refused(f"{self._called} refused to {what}")
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise OutcomeUnknown(f"{self._called} answered {status}")
        return answer

    async def _bounded(self, response: aiohttp.ClientResponse) -> bytes:
        """The body. Raises OutcomeUnknown if it is too long."""
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            body += chunk
            if len(body) > ANSWER_MAX_BYTES:
                raise OutcomeUnknown(f"{self._called} answered more than {ANSWER_MAX_BYTES} bytes")
        return bytes(body)
