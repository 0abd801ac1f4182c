"""The shop that is to be bought empty: taxes, a delivery, codes with and without limits, gift cards that several buyers
share, store credit, and stock."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID

import aiohttp

from tests.e2e.api import Client
from tests.e2e.ledger import stock_up
from tests.money.plan import CREDITED, PLENTY, PRICE_MINOR, SCARCE, buyer
from tests.system import System

METHOD_ID: Final = str(UUID(int=1))
_PROMOTION_ID: Final = str(UUID(int=2))
_SCARCE_PROMOTION_ID: Final = str(UUID(int=3))
CODE: Final = "WELCOME10"
SCARCE_CODE: Final = "FIRST"
ADDRESS: Final = {
    "name": "Ada Lovelace",
    "line1": "1 Harbour Street",
    "city": "London",
    "postal_code": "SW1A 1AA",
    "country": "GB",
}
CURRENCY: Final = "GBP"

_TAXES: Final = {
    "home": "GB",
    "rates": [{"name": "VAT", "area": {"country": "GB"}, "tax_class": "standard", "rate_bp": 2000}],
    "policy": {"included": False},
}
_METHOD: Final = {
    "name": "Post",
    "areas": [{"country": "GB"}],
    "rates": [{"currency": CURRENCY, "price_minor": 395, "free_from_minor": 1_500}],
}
_CARD_MINOR: Final = 5 * PRICE_MINOR
_CHECKOUTS_A_CARD: Final = 10
_CARDS_MAX: Final = 1_000
_CARDS_AT_ONCE: Final = 50
_CHECKOUTS_A_SCARCE_CODE: Final = 20
_CHECKOUTS_A_SCARCE_PIECE: Final = 20
CREDIT_MINOR: Final = 3_000
"""What is on each store credit."""


class Shop(NamedTuple):
    """What buyers may use. Codes of gift cards that turned out to be spent are taken out."""

    gift_cards: list[str]


async def stated(system: System, checkouts: int, random: Random) -> Shop:
    """Sets up the shop's terms and goods for this many checkouts."""
    await stock_up(system, PLENTY)
    await stock_up(system, (SCARCE,), max(2, checkouts // _CHECKOUTS_A_SCARCE_PIECE))
    async with aiohttp.ClientSession() as http:
        admin = Client(http, system.url, system.token("admin"))
        uses = max(2, checkouts // _CHECKOUTS_A_SCARCE_CODE)
        (await admin.put("/terms/taxes", _TAXES)).ok()
        (await admin.put(f"/terms/methods/{METHOD_ID}", _METHOD)).ok()
        await _promotion(admin, _PROMOTION_ID, CODE, 1_000)
        await _promotion(admin, _SCARCE_PROMOTION_ID, SCARCE_CODE, 500, uses_limit=uses)
        cards: list[str] = []
        count = min(_CARDS_MAX, max(2, checkouts // _CHECKOUTS_A_CARD))
        for first in range(0, count, _CARDS_AT_ONCE):
            amounts = [random.randint(1, _CARD_MINOR) for _ in range(first, min(count, first + _CARDS_AT_ONCE))]
            bodies = [{"amount_minor": amount_minor, "currency": CURRENCY} for amount_minor in amounts]
            issued = await asyncio.gather(*(admin.post("/gift-cards", body) for body in bodies))
            cards += [answer.ok(201)["code"] for answer in issued]
        for number in range(CREDITED):
            body = {"amount_minor": CREDIT_MINOR, "currency": CURRENCY, "reason": "A present"}
            (await admin.post(f"/store-credit/{buyer(number)}", body)).ok()
        return Shop(cards)


async def _promotion(admin: Client, promotion_id: str, code: str, percent_bp: int, **more: Any) -> None:
    action = {"kind": "percent", "percent_bp": percent_bp, "target": "order"}
    path = f"/terms/promotions/{promotion_id}"
    (await admin.put(path, {"name": code.title(), "coded": True, "action": action, **more})).ok()
    (await admin.post(f"{path}/codes", {"codes": [code]})).ok(201)
