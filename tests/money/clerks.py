"""What staff do about an order: capture, let go and give back, several things at once, and each of them asked twice."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any, Final

from tests.money.client import Act, Persistent, Told
from tests.money.plan import Staff

_REFUSALS: Final = frozenset(
    (
        "capture_exceeds_authorized",
        "nothing_to_void",
        "order_not_found",
        "payment_busy",
        "refund_exceeds_charged",
        "refund_exceeds_paid",
    )
)
_ASKED_TWICE: Final = 0.3
_REASON: Final = "Sent back"


class Clerk:
    """Looks after orders, one after the other."""

    def __init__(self, client: Persistent, told: Told, seed: str) -> None:
        self._client = client
        self._told = told
        self._random = Random(f"clerk {seed}")

    async def look_after(self, order_id: str, what: Staff) -> None:
        """Does to the order's payments what was planned, whatever their state."""
        payments = await self._payments(order_id)
        if what == "refund the order":
            half = sum(payment["refundable_minor"] for payment in payments) // 2
            await asyncio.gather(*(self._refund_order(order_id, amount) for amount in (half, half + 1, half) if amount))
            return
        for payment in payments:
            if payment["card_id"] is None and payment["amount_minor"] > 1:
                await self._look_after(payment, what)

    async def settle(self, payment: dict[str, Any]) -> None:
        """Voids and refunds all of the payment's money: its order was cancelled or has expired."""
        if payment["capturable_minor"]:
            await self._void(payment)
        if payment["refundable_minor"]:
            await self._move(payment, "refund", payment["refundable_minor"])

    async def orphaned(self) -> list[dict[str, Any]]:
        """Payments that hold money for cancelled or expired orders."""
        found = await self._client.ask("GET", "/payments?orphaned=true&limit=100")
        if found.status != 200:
            self._told.wrong.append(f"orphaned payments: answered with {found.status} {found.body}")
            return []
        items: list[dict[str, Any]] = found.body["items"]
        return items

    async def _look_after(self, payment: dict[str, Any], what: Staff) -> None:
        all_of_it = payment["amount_minor"]
        part = self._random.randint(1, all_of_it - 1)
        rest = all_of_it - part
        acts = {
            "capture": lambda: [self._move(payment, "capture", all_of_it)],
            "capture in parts": lambda: [self._move(payment, "capture", amount) for amount in (part, rest, part)],
            "capture or void": lambda: [self._move(payment, "capture", part), self._void(payment)],
            "void": lambda: [self._void(payment)],
            "refund in parts": lambda: [
                *([self._move(payment, "capture", all_of_it)] if payment["capture"] == "manual" else []),
                *(self._move(payment, "refund", amount) for amount in (part, rest, part)),
            ],
        }
        await asyncio.gather(*acts[what]())

    async def _payments(self, order_id: str) -> list[dict[str, Any]]:
        found = await self._client.ask("GET", f"/orders/{order_id}/payments")
        if found.status != 200:
            self._told.wrong.append(f"payments of {order_id}: answered with {found.status} {found.body}")
            return []
        items: list[dict[str, Any]] = found.body["items"]
        return items

    async def _refund_order(self, order_id: str, amount_minor: int) -> None:
        body = {
            "amount_minor": amount_minor,
            "reason": _REASON,
            "rule": self._random.choice(("cards_first", "cards_last")),
        }
        await self._act(f"/orders/{order_id}/refund", body, amount_minor)

    async def _move(self, payment: dict[str, Any], what: str, amount_minor: int) -> None:
        body = {"amount_minor": amount_minor, **({"reason": _REASON} if what == "refund" else {})}
        await self._act(f"/payments/{payment['id']}/{what}", body, amount_minor)

    async def _void(self, payment: dict[str, Any]) -> None:
        await self._act(f"/payments/{payment['id']}/void", None, 0)

    async def _act(self, path: str, body: object, amount_minor: int) -> None:
        key = f"{self._random.getrandbits(64):016x}"
        act = Act(key, path, amount_minor)
        self._told.acts.append(act)
        times = 2 if self._random.random() < _ASKED_TWICE else 1
        asked = [self._client.ask("POST", path, body, key=lambda: key) for _ in range(times)]
        for reply in await asyncio.gather(*asked):
            act.answers.append((reply.status, reply.code))
            if reply.status != 200 and reply.code not in _REFUSALS:
                self._told.wrong.append(f"{path}: answered with {reply.status} {reply.code}")
