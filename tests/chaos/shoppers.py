"""The people who use the shop while it is broken: shoppers order and cancel, staff confirm, restock and ask for
reports. Each does one thing at a time, asks again with the same key until there is an answer, and keeps a record of
every answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Any, Final, Self

from tests.beside import let_finish
from tests.e2e.api import order_body
from tests.e2e.faults_client import NO_ANSWER, FaultsClient, Reply
from tests.system import System

PLENTY: Final = ("KETTLE", "TEAPOT", "TRAY", "SPOON")
SCARCE: Final = ("LAMP", "CLOCK")
PRICE_MINOR: Final = 250

_SHOPPERS: Final = 16
_RUSHING: Final = 150
_CLERKS: Final = 2
_REPORTS_AT_ONCE: Final = 6
_REPORT: Final = {"kind": "sales", "by": "sku", "from": "2026-01-01", "to": "2026-01-02"}
_LINE_MAX_QUANTITY: Final = 3
_THINKS_SECONDS: Final = (0.0, 0.1)
_RETRY_SECONDS: Final = 0.1
_WAIT_SECONDS: Final = 5
_SETTLE_SECONDS: Final = 60.0
COME_BACK: Final = (NO_ANSWER, 429, 502, 503, 504)
"""Not an outcome: it is to be asked again."""


@dataclass
class Wish:
    """One request of a shopper, and every answer to it."""

    key: str
    principal: str
    kind: str
    lines: dict[str, int] = field(default_factory=dict)
    order_id: str | None = None
    replies: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    settled: bool = False

    @property
    def answer(self) -> tuple[int, dict[str, Any]]:
        """The last answer, which is the outcome if it is settled."""
        return self.replies[-1]


class Shoppers:
    """`async with Shoppers(system, random) as shoppers:` has them at it until the block ends, and then until each has
    been answered."""

    def __init__(self, system: System, random: Random) -> None:
        self.wishes: list[Wish] = []
        self._random = random
        self._client = FaultsClient(system)
        self._placed: list[tuple[str, str]] = []
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        people: list[Callable[[], Awaitable[None]]] = [
            *(self._shopper(f"customer-{number}") for number in range(_SHOPPERS)),
            self._confirms,
            self._restocks,
            *[self._asks_for_a_report] * _CLERKS,
            self._rush,
        ]
        self._tasks = [asyncio.create_task(self._live(each)) for each in people]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping = True
        try:
            await let_finish(self._tasks, within_seconds=_SETTLE_SECONDS, error=error)
        finally:
            await self._client.__aexit__(kind, error, traceback)

    async def _live(self, act: Callable[[], Awaitable[None]]) -> None:
        while not self._stopping:
            await act()
            await asyncio.sleep(self._random.uniform(*_THINKS_SECONDS))

    def _shopper(self, name: str) -> Callable[[], Awaitable[None]]:
        mine: list[str] = []
        last: list[Wish] = []

        async def act() -> None:
            chance = self._random.random()
            if mine and chance < 0.15:
                await self._ask(Wish(self._key(), name, "cancel", order_id=mine.pop()))
            elif last and chance < 0.25:
                await self._repeat(last[-1])
            else:
                wish = Wish(self._key(), name, "place", self._basket())
                await self._ask(wish, wait=_WAIT_SECONDS if chance > 0.6 else None)
                last[:] = [wish]
                if wish.order_id:
                    mine.append(wish.order_id)
                    self._placed.append((name, wish.order_id))

        return act

    async def _confirms(self) -> None:
        if self._placed:
            _, order_id = self._placed.pop(self._random.randrange(len(self._placed)))
            await self._ask(Wish(self._key(), "test-staff", "confirm", order_id=order_id))

    async def _restocks(self) -> None:
        await asyncio.sleep(self._random.uniform(0.2, 1.0))
        sku = self._random.choice(SCARCE)
        await self._ask(Wish(self._key(), "test-staff", "receive", {sku: self._random.randint(1, 10)}))

    async def _asks_for_a_report(self) -> None:
        """Makes tasks, which somebody may begin and not come to finish."""
        wishes = [Wish(self._key(), "test-staff", "report") for _ in range(_REPORTS_AT_ONCE)]
        await asyncio.gather(*map(self._ask, wishes))

    async def _rush(self) -> None:
        """Many want the same at the same moment: more than there is."""
        await asyncio.sleep(self._random.uniform(1.0, 3.0))
        sku = self._random.choice(SCARCE)
        wishes = [Wish(self._key(), f"customer-rush-{number}", "place", {sku: 1}) for number in range(_RUSHING)]
        await asyncio.gather(*map(self._ask, wishes))

    def _basket(self) -> dict[str, int]:
        skus = self._random.sample(PLENTY, self._random.randint(1, 2))
        if self._random.random() < 0.3:
            skus.append(self._random.choice(SCARCE))
        return {sku: self._random.randint(1, _LINE_MAX_QUANTITY) for sku in skus}

    def _key(self) -> str:
        return f"{self._random.getrandbits(64):016x}"

    async def _ask(self, wish: Wish, wait: int | None = None) -> None:
        """Asks until there is an outcome, or the end."""
        self.wishes.append(wish)
        while True:
            reply = await self._send(wish, wait)
            wish.replies.append((reply.status, reply.body))
            if reply.status not in COME_BACK:
                break
            await asyncio.sleep(_RETRY_SECONDS)
        wish.settled = True
        if wish.kind == "place" and reply.status in (201, 202):
            wish.order_id = reply.body["id"]

    async def _repeat(self, wish: Wish) -> None:
        """The very same request once more, as from a page that was sent twice: once, whatever comes of it."""
        if wish.settled:
            reply = await self._send(wish, None)
            if reply.status not in COME_BACK:
                wish.replies.append((reply.status, reply.body))

    async def _send(self, wish: Wish, wait: int | None) -> Reply:
        customer = None if wish.principal == "test-staff" else wish.principal
        if wish.kind == "place":
            return await self._client.post(
                "/orders", order_body(wish.lines), customer=customer, key=wish.key, wait=wait
            )
        if wish.kind == "report":
            return await self._client.post("/reports", _REPORT, key=wish.key)
        if wish.kind == "receive":
            ((sku, quantity),) = wish.lines.items()
            return await self._client.post(f"/inventory/{sku}/receipts", {"quantity": quantity}, key=wish.key)
        return await self._client.post(f"/orders/{wish.order_id}/{wish.kind}", None, customer=customer, key=wish.key)
