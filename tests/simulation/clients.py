"""The clients of a simulation: what they ask for, as a command for the mailbox and in the auditor's terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Final, TypeAlias
from uuid import UUID

from domain.catalogue import ACTIVE, ARCHIVED, ChangeProduct, SetVariant, VariantFields
from domain.model import Actor, Command, Wanted
from domain.orders import CancelOrder, ConfirmOrder, ExpireOrder, FulfilOrder, PlaceOrder
from domain.stock import AdjustStock, ReceiveStock
from ops.articles import Article, listing
from tests.integration.shopfloor import ANN, BOB, STAFF, Shopfloor
from tests.simulation.auditor import Asked

PRICES: Final = {
    "LAMP": (250, "GBP"),
    "MUG": (100, "GBP"),
    "PLATE": (75, "GBP"),
    "VASE": (990, "EUR"),
    "CLOCK": (500, "GBP"),
}
_ARTICLES: Final = {sku: Article(sku, sku.title(), *price) for sku, price in PRICES.items()}
_PRODUCT_IDS: Final = {sku: listing(article).product_id for sku, article in _ARTICLES.items()}

_SCARCE: Final = "CLOCK"
_PLENTY: Final = [sku for sku in PRICES if sku != _SCARCE]
_POUNDS: Final = [sku for sku in _PLENTY if PRICES[sku][1] == "GBP"]
_SCARCE_MAX_PIECES: Final = 3
_RUSHING: Final = (4, 12)
_PEOPLE: Final = (ANN, BOB, STAFF)
_KEYS: Final = 20
_BODIES: Final = (b"one body", b"another body")

_MOVES: Final[dict[str, Callable[[UUID], Command]]] = {
    "confirm": ConfirmOrder,
    "fulfil": FulfilOrder,
    "cancel": CancelOrder,
    "expire": ExpireOrder,
}

_Made: TypeAlias = tuple[Command, Actor, str, tuple[tuple[str, int], ...], UUID | None]


class Clients:
    """All clients of one world. How much they buy, how much there is, and how oddly they behave varies by world."""

    def __init__(self, random: Random, floor: Shopfloor) -> None:
        self._random = random
        self._floor = floor
        self._strangeness = random.choice([0.0, 0.02, 0.2])
        self._quantity_max = random.choice([1, 3, 9])
        self._pieces = random.choice([30, 100, 300])
        self._placed: list[tuple[UUID, Actor]] = []
        self._archived: list[str] = []

    def first_listings(self) -> list[tuple[Asked, Command]]:
        """The products, listed before clients ask for anything."""
        return [
            self._asked(listing(article, 0), STAFF, "count", ((sku, 0),), None) for sku, article in _ARTICLES.items()
        ]

    def first_goods(self) -> list[tuple[Asked, Command]]:
        """The first receipts of stock."""
        return [
            self._asked(ReceiveStock(sku, self._pieces), STAFF, "move", ((sku, self._pieces),), None) for sku in _PLENTY
        ]

    def rush(self) -> list[tuple[Asked, Command]]:
        """Some pieces come in, and many want one at the same moment: more than there are."""
        pieces = self._random.randint(1, _SCARCE_MAX_PIECES)
        goods = ReceiveStock(_SCARCE, pieces)
        wishes = [self._place_for([(_SCARCE, 1)]) for _ in range(self._random.randint(*_RUSHING))]
        return [self._asked(goods, STAFF, "move", ((_SCARCE, pieces),), None), *(self._asked(*each) for each in wishes)]

    def anything(self) -> tuple[Asked, Command]:
        """The next request."""
        make = self._random.choices(
            [self._place, self._move_order, self._move_stock, self._reprice, self._archive_or_bring_back, self._count],
            [24, 14, 8, 3, 2, 1],
        )[0]
        asked, command = self._asked(*make())
        if self._is_strange():
            key = f"key-{self._random.randrange(_KEYS)}"
            return replace(asked, key=key, body=self._random.choice(_BODIES)), command
        return asked, command

    def _asked(
        self, command: Command, actor: Actor, kind: str, lines: tuple[tuple[str, int], ...], order_id: UUID | None
    ) -> tuple[Asked, Command]:
        mailbox = self._floor.mailbox_of(command)
        return Asked(self._floor.new_id(), mailbox, actor.principal, actor.role, kind, lines, order_id), command

    def _is_strange(self) -> bool:
        """Whether to do something unusual. In some worlds no client ever does: there, orders can only fail for lack of
        stock."""
        return self._random.random() < self._strangeness

    def _place(self) -> _Made:
        skus = self._random.sample(_POUNDS, self._random.choice([1, 1, 2, 3]))
        if self._is_strange():  # two currencies, an unknown SKU, or one twice
            skus = [*skus, self._random.choice(["VASE", "NOPE", skus[0]])]
        return self._place_for([(sku, self._random.randint(1, self._quantity_max)) for sku in skus])

    def _place_for(self, lines: Sequence[tuple[str, int]]) -> _Made:
        actor = self._random.choice(_PEOPLE)
        if self._placed and self._is_strange():
            order_id, _ = self._random.choice(self._placed)
        else:
            order_id = self._floor.new_id(self._random.randrange(self._floor.mailbox_count))
            self._placed.append((order_id, actor))
        wanted = tuple(Wanted(sku, quantity) for sku, quantity in lines)
        return PlaceOrder(order_id, actor.principal, wanted), actor, "place", tuple(lines), order_id

    def _move_order(self) -> _Made:
        """The next or the last move of an order; some are no longer allowed."""
        if not self._placed:
            return self._place()
        order_id, actor = self._placed[-self._random.randint(1, min(5, len(self._placed)))]
        move = self._random.choice([*_MOVES])
        if self._is_strange():  # any customer's order, and perhaps a repetition
            order_id, actor = self._random.choice(self._placed)[0], self._random.choice(_PEOPLE)
        elif move != "confirm":
            self._placed.remove((order_id, actor))
        return _MOVES[move](order_id), actor, move, (), order_id

    def _reprice(self) -> _Made:
        sku = self._random.choice([*PRICES])
        price = PRICES[sku][0] + self._random.choice([-20, -1, 0, 1, 50])
        variant = VariantFields(sku, price, PRICES[sku][1])
        return SetVariant(_PRODUCT_IDS[sku], variant), STAFF, "price", ((sku, price),), None

    def _archive_or_bring_back(self) -> _Made:
        """At most one product is off sale: there must be something to ask for."""
        if self._archived:
            sku, status = self._archived.pop(), ACTIVE
        else:
            sku, status = self._random.choice([*PRICES]), ARCHIVED
            self._archived.append(sku)
        change = ChangeProduct(_PRODUCT_IDS[sku], {"status": status})
        return change, STAFF, "sell", ((sku, int(status == ACTIVE)),), None

    def _count(self) -> _Made:
        """A row of an import: everything about a SKU as it was at the start, and a count of its pieces."""
        sku, pieces = self._random.choice(_PLENTY), self._random.randint(0, self._pieces)
        return listing(_ARTICLES[sku], pieces), STAFF, "count", ((sku, pieces),), None

    def _move_stock(self) -> _Made:
        sku = "NOPE" if self._is_strange() else self._random.choice(_PLENTY)
        if self._random.random() < 0.5:
            change = self._random.randint(1, self._pieces)
            return ReceiveStock(sku, change), STAFF, "move", ((sku, change),), None
        change = self._random.choice([-self._pieces // 2, -5, -1, 1, 5])
        return AdjustStock(sku, change, "counted"), STAFF, "move", ((sku, change),), None
