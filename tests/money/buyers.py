"""A buyer, who fills a checkout, completes it (in several tabs), pays by one method after another, and sometimes goes
away or cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, Final

from tests.e2e.faults_client import Reply
from tests.money.client import Bought, Persistent, Told
from tests.money.plan import Purchase
from tests.money.shop import ADDRESS, CODE, CURRENCY, METHOD_ID, SCARCE_CODE, Shop

_WAIT_SECONDS: Final = 4
_LOOKS: Final = 12
"""How often a buyer looks whether it is paid before going away."""
_LOOK_SECONDS: Final = 0.4
_TRIES: Final = 6
"""How often a buyer agrees to another total."""
_RETURN_URL: Final = "https://shop.example/thanks"
_UNPAID: Final = ("failed", "cancelled")

_LACKING: Final = ("checkout_incomplete", "gift_card_not_usable", "too_many_attempts")
"""What is left out, and then it goes on."""
_CHANGED: Final = "checkout_changed"
_OVER: Final = ("insufficient_stock",)
"""There is nothing to be had any more."""
_NOT_NOW: Final = ("order_paid", "payment_pending", "order_state_conflict", "too_many_payments")
"""Reasons for not paying once more."""


class Buyer:
    """Makes one purchase."""

    def __init__(self, client: Persistent, shop: Shop, told: Told, plan: Purchase) -> None:
        self._client = client
        self._shop = shop
        self._told = told
        self._plan = plan
        self._random = Random(f"buyer {plan.number}")

    async def buy(self) -> str | None:
        """The id of the order that came of it."""
        checkout = await self._filled()
        if checkout is None:
            return None
        bought = Bought(self._plan.number, self._plan.customer, checkout["id"], set(), set())
        self._told.bought.append(bought)
        order = await self._completed(checkout, bought)
        if order is None:
            return None
        leaving = None
        if self._plan.leaves == "at once":
            leaving = asyncio.create_task(self._leave(order["id"]))
        await self._pay(order)
        if leaving is not None:
            await leaving
        elif self._plan.leaves == "after":
            await self._leave(order["id"])
        return str(order["id"])

    async def _filled(self) -> dict[str, Any] | None:
        """A checkout that lacks nothing."""
        card = self._a_card() if self._plan.has_gift_card else None
        codes = [CODE] * self._plan.has_code + [SCARCE_CODE] * self._plan.has_scarce_code
        while True:
            body = {
                "currency": CURRENCY,
                "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in self._plan.lines.items()],
                "email": f"{self._plan.customer}@example.com",
                "address": ADDRESS,
                "method_id": METHOD_ID,
                "codes": codes,
                "gift_cards": [] if card is None else [card],
                "use_store_credit": self._plan.uses_store_credit,
            }
            opened = await self._ask("POST", "/checkouts", body, self._one_key())
            if opened.status == 201:
                return opened.body
            if opened.code not in _LACKING:
                self._is_wrong("opening", opened)
                return None
            if card in self._shop.gift_cards:
                self._shop.gift_cards.remove(card)
            card = None

    async def _completed(self, checkout: dict[str, Any], bought: Bought) -> dict[str, Any] | None:
        """The order that the checkout becomes, once the buyer agrees to what it costs."""
        path, key = f"/checkouts/{checkout['id']}", self._one_key()
        for _ in range(_TRIES):
            quote = checkout["quote"]
            body = {
                "expected_total_minor": quote["total_minor"],
                "expected_due_minor": quote["due_minor"],
                "payment": self._payment(0),
            }
            replies = await asyncio.gather(
                *(
                    self._ask("POST", f"{path}/complete", body, key if self._plan.one_key else self._new_key)
                    for _ in range(self._plan.tabs)
                )
            )
            done = [reply.body for reply in replies if reply.status in (200, 201)]
            bought.told.update((order["id"], order["total_minor"]) for order in done)
            codes = {reply.code for reply in replies if reply.status not in (200, 201)} - {None}
            bought.refused.update(str(code) for code in codes)
            if done:
                return done[0]
            if codes & set(_OVER):
                return None
            changed: dict[str, Any] = {}
            if codes & set(_LACKING):
                changed = {"codes": [], "gift_cards": []}
            elif codes != {_CHANGED}:
                self._is_wrong("completing", *replies)
                return None
            seen = await self._ask("PATCH", path, changed, self._one_key())
            if seen.status != 200:
                self._is_wrong("looking again", seen)
                return None
            checkout, key = seen.body, self._one_key()
        return None

    async def _pay(self, order: dict[str, Any]) -> None:
        """By one method after the other."""
        payment = order["payment"]
        for number in range(len(self._plan.methods)):
            if number:
                asked = await self._ask(
                    "POST", f"/orders/{order['id']}/payments", self._payment(number), self._one_key()
                )
                if asked.status != 201:
                    if asked.code not in _NOT_NOW:
                        self._is_wrong("paying", asked)
                    return
                payment = asked.body
            if payment is None:  # cards pay all of it
                return
            if not await self._has_failed(payment):
                return

    async def _has_failed(self, payment: dict[str, Any]) -> bool:
        """Whether nothing came of it, so that another one may be tried."""
        chosen = False
        for _ in range(_LOOKS):
            if payment["action_url"] is not None and not chosen:
                for choice in self._plan.on_page:
                    await self._client.choose(payment["action_url"], choice)
                chosen = True
                if not self._plan.on_page:
                    return False
            elif payment["status"] in _UNPAID:
                return True
            elif payment["status"] not in ("pending", "action_required"):
                return False
            await asyncio.sleep(_LOOK_SECONDS)
            seen = await self._ask("GET", f"/payments/{payment['id']}")
            if seen.status != 200:
                self._is_wrong("looking at a payment", seen)
                return False
            payment = seen.body
        return False

    async def _leave(self, order_id: str) -> None:
        """Cancels, in which the payment, the hold and staff may be quicker."""
        left = await self._ask("POST", f"/orders/{order_id}/cancel", None, self._one_key())
        if left.status != 200 and left.code != "order_state_conflict":
            self._is_wrong("cancelling", left)

    def _payment(self, number: int) -> dict[str, Any]:
        body = {"provider": "sandbox", "capture": self._plan.capture, "return_url": _RETURN_URL}
        method = self._plan.methods[number]
        return body if method is None else {**body, "method": method}

    def _a_card(self) -> str | None:
        cards = self._shop.gift_cards
        return self._random.choice(cards) if cards else None

    def _new_key(self) -> str:
        return f"{self._random.getrandbits(64):016x}"

    def _one_key(self) -> Callable[[], str]:
        key = self._new_key()
        return lambda: key

    async def _ask(self, method: str, path: str, body: object = None, key: Callable[[], str] | None = None) -> Reply:
        wait = _WAIT_SECONDS if self._plan.waits and method == "POST" else None
        return await self._client.ask(method, path, body, customer=self._plan.customer, key=key, wait=wait)

    def _is_wrong(self, doing: str, *replies: Reply) -> None:
        said = [(reply.status, reply.code or reply.body) for reply in replies]
        self._told.wrong.append(f"purchase {self._plan.number}, {doing}: answered with {said}")
