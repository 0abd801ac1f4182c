"""The goods and orders of the benchmarks, the same for every side.

`spread` draws two of 3,000 SKUs, `hot` always the same two, `real` are the baskets of the shipped file. Everything is
drawn with a seed. The form of an order (SQL, mailbox entry, HTTP request) is left to each side, except for forms that
more than one side needs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from secrets import randbelow, randbits, token_hex
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from domain.ids import SLOT_COUNT, mailbox_of_slot, new_id
from domain.model import Actor, Command, Wanted
from domain.orders import ConfirmOrder, FulfilOrder, PlaceOrder
from domain.roles import CUSTOMER, STAFF
from loadtests.baskets import Invoices
from loadtests.loadgen import request
from ops.articles import Article, listing
from runtime import envelope
from runtime.envelope import Envelope
from runtime.signing_keys import KeyRing
from runtime.tokens import mint

SEED: Final = 20_101_201
FIRST_SKU: Final = 1_000_000  # SKUs of the benchmarks are numbers; those of the real data have five digits
SPREAD_SKUS: Final = 3_000
HOT_SKUS: Final = 2
SOLD_OUT_SKU: Final = FIRST_SKU + SPREAD_SKUS  # on sale, and there is none
LINE_MAX_PIECES: Final = 5
CUSTOMERS: Final = 1_000
PIECES: Final = 10_000_000  # of every SKU: nothing is to run out
TOKEN_LIFETIME_SECONDS: Final = 3_600
FINGERPRINT_BYTES: Final = 16

_LOADER: Final = Actor.in_role("bench", STAFF)
_ID_RANDOM_BITS: Final = 62


class Purchase(NamedTuple):
    """An order to be placed."""

    customer_id: str
    lines: tuple[Wanted, ...]

    @property
    def is_sold_out(self) -> bool:
        """Whether it asks for something sold out, and so will be rejected."""
        return any(wanted.sku == str(SOLD_OUT_SKU) for wanted in self.lines)


def products() -> list[Article]:
    """The synthetic goods, which never sell out."""
    return [_article(sku) for sku in range(FIRST_SKU, FIRST_SKU + SPREAD_SKUS)]


def sold_out() -> Article:
    """The article that is always sold out."""
    return _article(SOLD_OUT_SKU)


def _article(sku: int) -> Article:
    return Article(str(sku), f"Article {sku}", 100 + sku % 900, "GBP")


def two_lines(random: Random, sku_count: int) -> Iterator[Purchase]:
    """Endless orders of two of the first `sku_count` SKUs."""
    while True:
        skus = random.sample(range(FIRST_SKU, FIRST_SKU + sku_count), 2)
        yield Purchase(
            f"c{random.randrange(CUSTOMERS)}",
            tuple(Wanted(str(sku), random.randint(1, LINE_MAX_PIECES)) for sku in skus),
        )


def partly_sold_out(purchases: Iterable[Purchase], every: int) -> Iterator[Purchase]:
    """The same orders, of which one in `every` also asks for something sold out, and is rejected."""
    for number, purchase in enumerate(purchases):
        if number % every == 0:
            yield Purchase(purchase.customer_id, (*purchase.lines[:-1], Wanted(str(SOLD_OUT_SKU), 1)))
        else:
            yield purchase


def real(invoices: Invoices) -> Iterator[Purchase]:
    """Endless real baskets: those of the file, in its order, repeatedly."""
    while True:
        for basket in invoices.baskets:
            yield Purchase(basket.customer_id, basket.lines)


class Entry(NamedTuple):
    """A command in its mailbox: `encoded` is the envelope."""

    mailbox: int
    encoded: bytes


def entries(purchases: Iterable[Purchase], mailbox_count: int) -> list[Entry]:
    """Orders as the gateway would have posted them just now, each with an idempotency key of its own."""
    return [
        _entry(
            PlaceOrder(_new_id(), purchase.customer_id, purchase.lines),
            Actor.in_role(purchase.customer_id, CUSTOMER),
            mailbox_count,
        )
        for purchase in purchases
    ]


def trades(purchases: Iterable[Purchase], mailbox_count: int) -> list[Entry]:
    """Orders that are placed and confirmed; every other one is also fulfilled."""
    made = []
    for number, purchase in enumerate(purchases):
        order_id = _new_id()
        customer = Actor.in_role(purchase.customer_id, CUSTOMER)
        made.append(_entry(PlaceOrder(order_id, purchase.customer_id, purchase.lines), customer, mailbox_count))
        made.append(_entry(ConfirmOrder(order_id), customer, mailbox_count))
        if number % 2:
            made.append(_entry(FulfilOrder(order_id), _LOADER, mailbox_count))
    return made


def listings(goods: Iterable[Article], mailbox_count: int, *, pieces: int = PIECES) -> list[Entry]:
    """The commands that put everything on sale and in stock, as an import would."""
    return [_entry(listing(article, pieces), _LOADER, mailbox_count) for article in goods]


def requests(purchases: Iterable[Purchase], host: str, keys: KeyRing, *, wait_seconds: int = 0) -> list[bytes]:
    """Orders as HTTP requests, each with its customer's token and an idempotency key of its own."""
    tokens: dict[str, str] = {}
    made = []
    for purchase in purchases:
        customer_id = purchase.customer_id
        if customer_id not in tokens:
            tokens[customer_id] = mint(keys, customer_id, ["customer"], lifetime_seconds=TOKEN_LIFETIME_SECONDS)
        headers = {
            "authorization": f"Bearer {tokens[customer_id]}",
            "content-type": "application/json",
            "idempotency-key": _key(),
        }
        if wait_seconds:
            headers["prefer"] = f"wait={wait_seconds}"
        made.append(request("POST", host, "/api/v1/orders", headers, order_body(purchase.lines)))
    return made


def order_body(lines: Sequence[Wanted]) -> bytes:
    """The body of POST /api/v1/orders."""
    return msgspec.json.encode({"lines": [{"sku": wanted.sku, "quantity": wanted.quantity} for wanted in lines]})


def _entry(command: Command, actor: Actor, mailbox_count: int) -> Entry:
    encoded = envelope.encode(
        Envelope(
            command_id=_new_id(),
            principal=actor.principal,
            staff=actor.is_staff,
            accepted_at=time.time_ns() // 1_000,
            command=envelope.encode_command(command),
            idempotency_key=_key(),
            fingerprint=os.urandom(FINGERPRINT_BYTES),
            role=actor.role,
            scopes=envelope.named_scopes(actor),
            version=command.schema_version,
        )
    )
    return Entry(mailbox_of_slot(command.slot(), mailbox_count), encoded)


def _new_id() -> UUID:
    return new_id(time.time_ns() // 1_000_000, randbelow(SLOT_COUNT), randbits(_ID_RANDOM_BITS))


def _key() -> str:
    return token_hex(8)
