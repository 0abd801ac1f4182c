"""The clients of a simulation: what they ask for, as a command for the mailbox and in words for the auditor."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Final, TypeAlias
from uuid import UUID

from domain.model import Command, Product, Who
from domain.orders import CancelOrder, PlaceOrder, Wanted
from domain.stock import AdjustStock, ReceiveStock
from tests.integration.shopfloor import ANN, BOB, STAFF, Shopfloor
from tests.simulation.auditor import Asked

PRICES: Final = {"LAMP": (250, "GBP"), "MUG": (100, "GBP"), "PLATE": (75, "GBP"), "VASE": (990, "EUR")}
PRODUCTS: Final = [Product(sku, sku.title(), *price) for sku, price in PRICES.items()]

_POUNDS: Final = [sku for sku, (_, currency) in PRICES.items() if currency == "GBP"]
_PEOPLE: Final = (ANN, BOB, STAFF)
_KEYS: Final = 20
_BODIES: Final = (b"one body", b"another body")

_Made: TypeAlias = tuple[Command, Who, str, tuple[tuple[str, int], ...], UUID | None]


class Clients:
    """All clients of one world. How much they buy, how much there is, and how strange they are, differs by world."""

    def __init__(self, random: Random, floor: Shopfloor) -> None:
        self._random = random
        self._floor = floor
        self._strangeness = random.choice([0.0, 0.02, 0.2])
        self._quantity_max = random.choice([1, 3, 9])
        self._pieces = random.choice([30, 100, 300])
        self._placed: list[tuple[UUID, Who]] = []

    def first_goods(self) -> list[tuple[Asked, Command]]:
        """What fills the shelves."""
        return [
            self._asked(ReceiveStock(sku, self._pieces), STAFF, "move", ((sku, self._pieces),), None) for sku in PRICES
        ]

    def anything(self) -> tuple[Asked, Command]:
        """What somebody asks for next."""
        make = self._random.choices([self._place, self._cancel, self._move], [6, 2, 2])[0]
        asked, command = self._asked(*make())
        if self._is_strange():
            key = f"key-{self._random.randrange(_KEYS)}"
            return replace(asked, key=key, body=self._random.choice(_BODIES)), command
        return asked, command

    def _asked(
        self, command: Command, who: Who, kind: str, lines: tuple[tuple[str, int], ...], order_id: UUID | None
    ) -> tuple[Asked, Command]:
        mailbox = self._floor.mailbox_of(command)
        return Asked(self._floor.new_id(), mailbox, who.principal, who.staff, kind, lines, order_id), command

    def _is_strange(self) -> bool:
        """Whether somebody does what few do. In some worlds nobody ever does: there, only stock can run short."""
        return self._random.random() < self._strangeness

    def _place(self) -> _Made:
        who = self._random.choice(_PEOPLE)
        skus = self._random.sample(_POUNDS, self._random.choice([1, 1, 2, 3]))
        if self._is_strange():  # two currencies, a SKU that nobody sells, or one twice
            skus = [*skus, self._random.choice(["VASE", "NOPE", skus[0]])]
        lines = tuple((sku, self._random.randint(1, self._quantity_max)) for sku in skus)
        if self._placed and self._is_strange():
            order_id, _ = self._random.choice(self._placed)
        else:
            order_id = self._floor.new_id(self._random.randrange(self._floor.mailbox_count))
            self._placed.append((order_id, who))
        wanted = tuple(Wanted(sku, quantity) for sku, quantity in lines)
        return PlaceOrder(order_id, who.principal, wanted), who, "place", lines, order_id

    def _cancel(self) -> _Made:
        if not self._placed:
            return self._place()
        order_id, who = self._placed[-self._random.randint(1, min(5, len(self._placed)))]
        if self._is_strange():  # anybody's order, and perhaps once more
            order_id, who = self._random.choice(self._placed)[0], self._random.choice(_PEOPLE)
        else:
            self._placed.remove((order_id, who))
        return CancelOrder(order_id), who, "cancel", (), order_id

    def _move(self) -> _Made:
        sku = "NOPE" if self._is_strange() else self._random.choice([*PRICES])
        if self._random.random() < 0.5:
            change = self._random.randint(1, self._pieces)
            return ReceiveStock(sku, change), STAFF, "move", ((sku, change),), None
        change = self._random.choice([-self._pieces // 2, -5, -1, 1, 5])
        return AdjustStock(sku, change, "counted"), STAFF, "move", ((sku, change),), None
