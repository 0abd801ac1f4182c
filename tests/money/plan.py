"""What each buyer is going to do, what staff do about it then, and what is killed when: drawn from the seed before
anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final, Literal, NamedTuple

PLENTY: Final = ("KETTLE", "TEAPOT", "TRAY", "SPOON")
SCARCE: Final = "LAMP"
PRICE_MINOR: Final = 250
"""Of each of them."""

Capture = Literal["automatic", "manual"]
Leaves = Literal["", "at once", "after"]
"""Whether the buyer cancels the order: while it is being paid, or after that."""

Staff = Literal["", "refund in parts", "refund the order", "capture", "capture in parts", "capture or void", "void"]
"""What staff do once the order is paid."""

CREDITED: Final = 40
"""So many buyers, the first ones, have store credit."""

KILLED_IN_TURN: Final = ("background", "worker", "gateway", "valkey", "postgres", "sandbox")

_LINE_MAX_QUANTITY: Final = 3
_CUSTOMERS: Final = 400
_CARD: Final = "card"
_ON_PAGE: Final = (("pay",), ("pay", "pay"), ("decline", "pay"), ("step", "confirm"), ("step", "deny"), ("leave",), ())
_DOWN_SECONDS: Final = (0.2, 1.5)


class Purchase(NamedTuple):
    """One checkout from beginning to end."""

    number: int
    customer: str
    lines: dict[str, int]
    has_code: bool
    has_scarce_code: bool
    has_gift_card: bool
    uses_store_credit: bool
    tabs: int
    """How many complete it at the same moment."""
    one_key: bool
    """Whether tabs and repetitions have one Idempotency-Key, or each its own."""
    capture: Capture
    methods: tuple[str | None, ...]
    """What the buyer pays with, one after the other until one works; None is the provider's page."""
    on_page: tuple[str, ...]
    """What the buyer chooses there; nothing, and the buyer has gone away."""
    waits: bool
    """Whether the buyer's requests wait for what the provider says."""
    leaves: Leaves
    staff: Staff


class Kill(NamedTuple):
    """After how many checkouts something is killed, and for how many seconds it stays dead."""

    after: int
    target: str
    lasts: float


def buyer(number: int) -> str:
    """The customer with this number."""
    return f"buyer-{number}"


def purchases(seed: int, count: int) -> Iterator[Purchase]:
    """That many of them; a longer plan begins with the same ones."""
    random = Random(f"purchases {seed}")
    return (_purchase(random, number) for number in range(count))


def kills(seed: int, checkouts: int, count: int) -> list[Kill]:
    """Each target in turn, evenly over this many checkouts."""
    random = Random(f"kills {seed}")
    first = random.randrange(len(KILLED_IN_TURN))
    return [
        Kill(
            int((number + 0.5) * checkouts / count),
            KILLED_IN_TURN[(first + number) % len(KILLED_IN_TURN)],
            random.uniform(*_DOWN_SECONDS),
        )
        for number in range(count)
    ]


def _purchase(random: Random, number: int) -> Purchase:
    capture: Capture = "manual" if random.random() < 0.25 else "automatic"
    uses_store_credit = random.random() < 0.1
    return Purchase(
        number,
        buyer(random.randrange(CREDITED if uses_store_credit else _CUSTOMERS)),
        _basket(random),
        random.random() < 0.3,
        random.random() < 0.15,
        random.random() < 0.2,
        uses_store_credit,
        random.choice((1, 1, 1, 2, 3)),
        random.random() < 0.6,
        capture,
        tuple(_methods(random)),
        random.choice(_ON_PAGE),
        random.random() < 0.7,
        random.choices(("", "at once", "after"), (84, 6, 10))[0],
        _staff(random, capture),
    )


def _basket(random: Random) -> dict[str, int]:
    skus = random.sample(PLENTY, random.randint(1, 2))
    if random.random() < 0.05:
        skus.append(SCARCE)
    return {sku: random.randint(1, _LINE_MAX_QUANTITY) for sku in skus}


def _methods(random: Random) -> Iterator[str | None]:
    """Some cards are declined or ask for a step; the last one works, or is the page."""
    for _ in range(random.choice((0, 0, 0, 0, 1, 2))):
        yield f"{_CARD}+decline"
    yield random.choices((_CARD, f"{_CARD}+step", None), (80, 10, 10))[0]


def _staff(random: Random, capture: Capture) -> Staff:
    if capture == "manual":
        return random.choice(("", "capture", "capture in parts", "capture or void", "void", "refund in parts"))
    return random.choices(("", "refund in parts", "refund the order"), (80, 10, 10))[0]
