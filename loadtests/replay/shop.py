"""The replay itself: adds products, receives stock, then places the orders at the requested pace.

Missing products are posted directly to the mailboxes, as by any loader; stock and orders go over HTTP. Each write has
an idempotency key of this run, so a retried one is applied once.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from domain import roles
from domain.limits import MOVEMENT_MAX_QUANTITY
from domain.model import Actor
from loadtests.baskets import Basket
from loadtests.replay.client import CUSTOMER, STAFF, Answer, Client
from ops.articles import Article, listing
from runtime.mailboxes.sender import Sender, wait_for_outcomes
from runtime.records import APPLIED

STAFF_SUBJECT: Final = "replay"

_LOADER: Final = Actor.in_role(STAFF_SUBJECT, roles.STAFF)
_POST_MAX_SECONDS: Final = 60.0


class NotPrepared(Exception):
    """A product or its stock, needed before the first order, could not be set up."""


class Replay:
    """A run of the replay. `concurrency` is the largest number of requests in flight; `progress` is called after each
    one."""

    def __init__(self, client: Client, sender: Sender, pool: asyncpg.Pool[Any], *, concurrency: int) -> None:
        self.run = secrets.token_hex(4)
        self._client = client
        self._sender = sender
        self._pool = pool
        self._concurrency = concurrency

    async def load_products(self, articles: Iterable[Article]) -> int:
        """Adds the products missing from the catalogue, and returns their number. Raises NotPrepared."""
        known = {row["sku"] for row in await self._pool.fetch("SELECT sku FROM variants")}
        missing = [article for article in articles if article.sku not in known]
        posted = await asyncio.gather(
            *(
                self._sender.send(
                    listing(article),
                    _LOADER,
                    key=f"replay-{self.run}-list-{article.sku}",
                    patience_seconds=_POST_MAX_SECONDS,
                )
                for article in missing
            )
        )
        await self._all_applied(posted, "listings")
        return len(missing)

    async def receive(self, pieces: Mapping[str, int], progress: Callable[[], None]) -> None:
        """Receives these pieces of each SKU, and returns once they are on hand. Raises NotPrepared."""
        receipts = [(sku, part) for sku, quantity in pieces.items() for part in _movements(quantity)]

        async def receive_one(number: int) -> Answer:
            sku, quantity = receipts[number]
            body = msgspec.json.encode({"quantity": quantity, "reference": f"replay {self.run}"})
            return await self._client.post(
                f"/api/v1/inventory/{sku}/receipts",
                body,
                subject=STAFF_SUBJECT,
                roles=STAFF,
                key=f"replay-{self.run}-stock-{number}",
            )

        answers = await self._each(len(receipts), receive_one, lambda number: 0.0, progress)
        if refused := [answer.code for answer in answers if not answer.accepted]:
            raise NotPrepared(f"{len(refused)} receipts were not accepted: {refused[0]}")
        await self._all_applied([command_id(answer) for answer in answers], "receipts")

    async def place(self, baskets: Sequence[Basket], speed: float, progress: Callable[[], None]) -> list[Answer]:
        """Places the orders in the order of the file, at `speed` times the pace of their dates (infinity: all at
        once)."""
        if not baskets:
            return []
        first = baskets[0].placed_at

        def due(number: int) -> float:
            return (baskets[number].placed_at - first).total_seconds() / speed

        async def place_one(number: int) -> Answer:
            basket = baskets[number]
            lines = [{"sku": wanted.sku, "quantity": wanted.quantity} for wanted in basket.lines]
            return await self._client.post(
                "/api/v1/orders",
                msgspec.json.encode({"lines": lines}),
                subject=basket.customer_id,
                roles=CUSTOMER,
                key=f"replay-{self.run}-{basket.invoice_no}",
            )

        return await self._each(len(baskets), place_one, due, progress)

    async def _all_applied(self, command_ids: Sequence[UUID], what: str) -> None:
        outcomes = await wait_for_outcomes(self._pool, command_ids)
        applied = sum(outcome.status == APPLIED for outcome in outcomes.values())
        if applied != len(command_ids):
            codes = sorted({str(outcome.code) for outcome in outcomes.values() if outcome.status != APPLIED})
            raise NotPrepared(f"{applied} of {len(command_ids)} {what} were applied: {', '.join(codes)}")

    async def _each(
        self,
        count: int,
        send: Callable[[int], Any],
        due: Callable[[int], float],
        progress: Callable[[], None],
    ) -> list[Answer]:
        """Sends numbers 0..count-1, each once and not before it is due (seconds from now), some at a time."""
        answers: list[Answer | None] = [None] * count
        numbers = iter(range(count))
        begun = time.monotonic()

        async def work() -> None:
            for number in numbers:
                early = due(number) - (time.monotonic() - begun)
                if early > 0:
                    await asyncio.sleep(early)
                answers[number] = await send(number)
                progress()

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(self._concurrency, count)):
                workers.create_task(work())
        return [answer for answer in answers if answer is not None]


def command_id(answer: Answer) -> UUID:
    """The id of the command that an accepted write became."""
    return UUID(answer.body["command_id"])


def _movements(quantity: int) -> list[int]:
    """The quantity split into parts that fit into one receipt each."""
    whole, rest = divmod(quantity, MOVEMENT_MAX_QUANTITY)
    return [MOVEMENT_MAX_QUANTITY] * whole + [rest] * (rest > 0)
