"""An HTTP client such as a careful customer would write: keep-alive, an Idempotency-Key on every write, and retries
after Retry-After or no response. The caller decides how many requests run at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from runtime.signing_keys import KeyRing
from runtime.tokens import mint

RETRY_MAX_SECONDS: Final = 60.0  # from the first attempt; after that the write has failed
ANSWER_TIMEOUT_SECONDS: Final = 30.0
TOKEN_LIFETIME_SECONDS: Final = 3_600
CUSTOMER: Final = ("customer",)
STAFF: Final = ("staff",)

_COME_BACK: Final = (429, 503)
_RETRY_AFTER_MAX_SECONDS: Final = 10.0
_SILENCE_SECONDS: Final = 0.5  # before the next attempt, without a Retry-After


class Answer(msgspec.Struct, frozen=True):
    """The result of a write. `seconds` is from its first attempt to the last response, including pauses; `status` is 0
    if there was none. `put_off` lists why it had to be retried: problem codes, or the error's name.
    """

    status: int
    body: dict[str, Any]
    seconds: float
    put_off: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        return self.status == 202

    @property
    def code(self) -> str:
        """The problem's code, if the response is one."""
        return str(self.body.get("code", f"http_{self.status}" if self.status else "no_answer"))


class Client:
    """Sends writes to a running system. An async context manager."""

    def __init__(self, url: str, keys: KeyRing, *, connections: int) -> None:
        self._url = url.rstrip("/")
        self._keys = keys
        self._tokens: dict[tuple[str, Sequence[str]], tuple[str, float]] = {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections),
            timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_SECONDS),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def is_ready(self) -> bool:
        """Whether the system reports that it is ready."""
        try:
            async with self._session.get(f"{self._url}/health/ready") as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def post(self, path: str, body: bytes, *, subject: str, roles: Sequence[str], key: str) -> Answer:
        """Sends a write and retries it until it has a final response, for at most RETRY_MAX_SECONDS."""
        begun = time.perf_counter()
        put_off: list[str] = []
        while True:
            status, answered, pause = await self._attempt(path, body, self._token(subject, roles), key)
            answer = Answer(status, answered, time.perf_counter() - begun, tuple(put_off))
            if pause is None or answer.seconds + pause > RETRY_MAX_SECONDS:
                return answer
            put_off.append(answer.code)
            await asyncio.sleep(pause * (1 + random.random() / 4))  # jitter

    async def _attempt(self, path: str, body: bytes, token: str, key: str) -> tuple[int, dict[str, Any], float | None]:
        """The status, the body, and the seconds to wait before the next attempt, or None if there is to be none."""
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        }
        try:
            async with self._session.post(f"{self._url}{path}", data=body, headers=headers) as response:
                answered = await response.read()
                pause = _pause(response) if response.status in _COME_BACK else None
                return response.status, _object(answered), pause
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, {"code": type(error).__name__}, _SILENCE_SECONDS

    def _token(self, subject: str, roles: Sequence[str]) -> str:
        now = time.time()
        token, good_until = self._tokens.get((subject, roles), ("", 0.0))
        if good_until < now:
            token = mint(self._keys, subject, roles, lifetime_seconds=TOKEN_LIFETIME_SECONDS, now=now)
            self._tokens[subject, roles] = token, now + TOKEN_LIFETIME_SECONDS / 2
        return token


def _pause(response: aiohttp.ClientResponse) -> float:
    """The seconds in Retry-After, within reason. Tidegate never sends its other form, a date."""
    after = response.headers.get("Retry-After", "")
    return min(float(after), _RETRY_AFTER_MAX_SECONDS) if after.isdigit() else _SILENCE_SECONDS


def _object(answered: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(answered, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
