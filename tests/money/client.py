"""Requests that are repeated until there is an answer: whatever the shop or the provider is going through, buyers and
staff come back. What they are told is kept for the auditor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import aiohttp

from tests.e2e.faults_client import NO_ANSWER, FaultsClient, Reply
from tests.pace import Patience
from tests.system import System

ACCEPTED: Final = 202
COME_BACK: Final = (NO_ANSWER, ACCEPTED, 502, 503, 504)
"""Not an outcome: it is to be asked again."""

_AGAIN_SECONDS: Final = 0.2
_WAIT_SECONDS: Final = 5
"""For the outcome of what was accepted."""
_ANSWER_WITHIN_SECONDS: Final = 120.0
_PAGE_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)


class NeverAnswered(Exception):
    """There was no outcome, however often it was asked for."""


@dataclass
class Act:
    """What staff asked for under one key, and what came of it."""

    key: str
    what: str
    amount_minor: int
    answers: list[tuple[int, str | None]] = field(default_factory=list)
    """Statuses, and codes of problems."""


class Bought(NamedTuple):
    """The answers one buyer got about one checkout: the orders it became, and what they cost."""

    number: int
    customer: str
    checkout_id: str
    told: set[tuple[str, int]]
    refused: set[str]


@dataclass
class Told:
    """All that people were told."""

    bought: list[Bought] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Answers that nobody should get."""


class Persistent:
    """An async context manager. Asks as the named customers, or as staff, until there is an outcome."""

    def __init__(self, system: System) -> None:
        self._client = FaultsClient(system)

    async def __aenter__(self) -> Persistent:
        await self._client.__aenter__()
        self._pages = aiohttp.ClientSession(timeout=_PAGE_TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pages.close()
        await self._client.__aexit__(None, None, None)

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        customer: str | None = None,
        key: Callable[[], str] | None = None,
        wait: int | None = None,
    ) -> Reply:
        """`key` is asked for a key each time. Raises NeverAnswered."""
        patience = Patience(_ANSWER_WITHIN_SECONDS)
        while True:
            reply = await self._client.ask(
                method, path, body, customer=customer, key=None if key is None else key(), wait=wait
            )
            if reply.status not in COME_BACK:
                return reply
            if reply.status == ACCEPTED:
                wait = _WAIT_SECONDS
            if patience.is_over():
                raise NeverAnswered(f"{method} {path}: at last {reply.status} {reply.code}")
            await asyncio.sleep(_AGAIN_SECONDS)

    async def choose(self, url: str, choice: str) -> None:
        """What a buyer chooses on the provider's page."""
        patience = Patience(_ANSWER_WITHIN_SECONDS)
        while True:
            try:
                async with self._pages.post(url, data={"choice": choice}, allow_redirects=False) as answer:
                    if answer.status < 500:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            if patience.is_over():
                raise NeverAnswered(f"the provider's page, for {choice}")
            await asyncio.sleep(_AGAIN_SECONDS)
