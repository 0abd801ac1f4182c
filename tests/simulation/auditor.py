"""The auditor: applies what was asked for, in the order of the log, by its own rules, and compares.

It shares no code with what it audits: its shop is a few dicts, and it reads the tables with plain SQL. From the log it
takes only the order of the commands, and it checks that this is the mailboxes' own order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg

from domain.tasks import task_id

TASKS: Final = "tidegate:tasks"


@dataclass(frozen=True)
class Asked:
    """A command as the simulation asked for it. `lines` are pieces by SKU as written; for staff's commands about one
    SKU they hold the change (`move`), the counted pieces (`count`), the price (`price`), or whether it is on sale
    (`sell`). `certain` says whether the answer was 202, rather than lost on the way; `through` names the gateway that
    was asked."""

    command_id: UUID
    mailbox: int
    principal: str
    role: str
    kind: str
    lines: tuple[tuple[str, int], ...] = ()
    order_id: UUID | None = None
    key: str | None = None
    body: bytes | None = None
    certain: bool = True
    through: str = ""


@dataclass
class _Order:
    customer: str
    lines: dict[str, int]
    total: int
    status: str = "placed"


# The statuses from which each move of an order is allowed.
_MOVES: Final = {
    "confirm": (("placed",), "confirmed"),
    "fulfil": (("confirmed",), "fulfilled"),
    "cancel": (("placed", "confirmed"), "cancelled"),
    "expire": (("placed",), "expired"),
}


class Auditor:
    """Keeps the books of one shop. `prices` are minor units and currency by SKU, as first listed."""

    def __init__(self, prices: Mapping[str, tuple[int, str]]) -> None:
        self._first_prices = prices
        self._prices: dict[str, int] = {}
        self._sold: dict[str, bool] = {}
        self._on_hand: dict[str, int] = {}
        self._orders: dict[UUID, _Order] = {}
        self._keys: dict[tuple[str, str], bytes | None] = {}

    async def audit(
        self, connection: asyncpg.Connection[Any], asked: Sequence[Asked], garbage: int, undone: Collection[UUID]
    ) -> None:
        """Raises AssertionError for the first thing that is wrong. `garbage` is how many entries that no client asked
        for were put into mailboxes; `undone` are commands that Postgres has known, and has lost with a restore: they
        may be in the log again."""
        rows = await connection.fetch(
            "SELECT id, mailbox, entry_id, principal, idempotency_key, type, status, seq,"
            " (SELECT data->>'code' FROM events e WHERE e.seq = c.seq) AS code FROM commands c ORDER BY seq"
        )
        by_id = {each.command_id: each for each in asked}
        results = self._results(rows, asked)
        strangers = [row for row in rows if row["id"] not in by_id and row["principal"] != TASKS]
        assert {row["status"] for row in strangers} <= {"failed"}, "a command that no client asked for was applied"
        if not undone:
            assert len(strangers) == garbage, f"{garbage} entries of garbage left {len(strangers)} records"
        self._check_order(rows, [each for each in asked if each.command_id not in undone])
        self._check_tasks(rows, undone)
        by_id |= results
        for command_id, _, _, _, _, _, status, seq, code in rows:
            if command_id in by_id:
                self._check_outcome(by_id[command_id], seq, status, code)
        letters = await connection.fetch("SELECT DISTINCT command_id FROM dead_letters")
        _same("dead letters", letters, ((row["id"],) for row in rows if row["status"] == "failed"))
        await self._check_tables(connection)

    @staticmethod
    def _check_order(rows: Sequence[asyncpg.Record], asked: Sequence[Asked]) -> None:
        applied: dict[int, list[UUID]] = defaultdict(list)
        for row in rows:
            applied[row["mailbox"]].append(row["id"])
        recorded = {row["id"] for row in rows}
        lost = [each for each in asked if each.certain and each.command_id not in recorded]
        assert not lost, f"accepted and never applied: {lost}"
        for mailbox, through in dict.fromkeys((each.mailbox, each.through) for each in asked):
            posted = [
                each.command_id
                for each in asked
                if (each.mailbox, each.through) == (mailbox, through) and each.command_id in recorded
            ]
            mine = set(posted)
            assert [each for each in applied[mailbox] if each in mine] == posted, f"mailbox {mailbox}: out of order"

    @staticmethod
    def _results(rows: Iterable[asyncpg.Record], asked: Iterable[Asked]) -> dict[UUID, Asked]:
        """The results of tasks, as if they had been asked for: each adds a piece of what was received. One that was
        recognised as a repetition has no key any more, and does nothing."""
        receipts = {str(task_id(each.command_id, 0)): each for each in asked if each.kind == "move"}
        results = {}
        for row in rows:
            if row["principal"] == TASKS and row["status"] != "repeated":
                ((sku, _),) = receipts[_task_of(row)].lines
                results[row["id"]] = Asked(row["id"], row["mailbox"], TASKS, "staff", "move", ((sku, 1),))
        return results

    @staticmethod
    def _check_tasks(rows: Sequence[asyncpg.Record], undone: Iterable[UUID]) -> None:
        """Each receipt of stock has led to one task, and that to one result. Of a receipt that a restore has undone,
        the result may have waited in its mailbox."""
        done = Counter(
            _task_of(row) for row in rows if row["principal"] == TASKS and row["status"] in ("applied", "rejected")
        )
        applied = [row["id"] for row in rows if row["type"] == "ReceiveStock" and row["status"] == "applied"]
        expected = Counter(str(task_id(receipt, 0)) for receipt in applied)
        possible = expected | Counter(str(task_id(receipt, 0)) for receipt in undone)
        assert done <= possible, f"tasks: too many {done - possible}"
        assert done >= expected, f"tasks: missing {expected - done}"

    def _check_outcome(self, asked: Asked, seq: int, status: str, code: str | None) -> None:
        taken = asked.kind == "place" and asked.order_id in self._orders
        expected = self._outcome(asked)
        found = f"{status}: {code}" if status == "rejected" else status
        # An order whose id is taken cannot be written; whether there would have been enough for it does not matter.
        assert found == expected or (taken and found == "failed"), f"seq {seq}: {asked} is {found!r}, not {expected!r}"
        if status == "applied":
            self._apply(asked)

    def _outcome(self, asked: Asked) -> str:
        if asked.key is not None:
            name = (asked.principal, asked.key)
            if name in self._keys:
                return "repeated" if self._keys[name] == asked.body else "rejected: idempotency_key_reused"
            self._keys[name] = asked.body
        if asked.kind in _MOVES:
            return self._move_order(asked)
        if asked.kind in ("price", "sell"):
            return "applied"
        return {"place": self._place, "move": self._move_stock, "count": self._count}[asked.kind](asked)

    def _place(self, asked: Asked) -> str:
        skus = [sku for sku, _ in asked.lines]
        if len(set(skus)) != len(skus):
            return "failed"
        if not set(skus) <= self._prices.keys():
            return "rejected: unknown_sku"
        if not all(self._sold[sku] for sku in skus):
            return "rejected: not_on_sale"
        if len({self._first_prices[sku][1] for sku in skus}) > 1:
            return "rejected: mixed_currencies"
        if any(quantity > self._available(sku) for sku, quantity in asked.lines):
            return "rejected: insufficient_stock"
        return "failed" if asked.order_id in self._orders else "applied"

    def _move_order(self, asked: Asked) -> str:
        order = self._orders.get(asked.order_id) if asked.order_id else None
        if order is None or not (asked.role == "staff" or order.customer == asked.principal):
            return "rejected: order_not_found"
        return "applied" if order.status in _MOVES[asked.kind][0] else "rejected: order_state_conflict"

    def _move_stock(self, asked: Asked) -> str:
        ((sku, change),) = asked.lines
        if sku not in self._prices:
            return "rejected: unknown_sku"
        return "applied" if self._available(sku) + change >= 0 else "rejected: insufficient_stock"

    def _count(self, asked: Asked) -> str:
        ((sku, pieces),) = asked.lines
        return "applied" if pieces >= self._reserved(sku) else "rejected: insufficient_stock"

    def _apply(self, asked: Asked) -> None:
        if asked.order_id is None:
            ((sku, number),) = asked.lines
            self._apply_to_sku(asked.kind, sku, number)
        elif asked.kind == "place":
            total = sum(quantity * self._prices[sku] for sku, quantity in asked.lines)
            self._orders[asked.order_id] = _Order(asked.principal, dict(asked.lines), total)
        else:
            order, (_, status) = self._orders[asked.order_id], _MOVES[asked.kind]
            left, returned = status == "confirmed", status == "cancelled" and order.status == "confirmed"
            for sku, quantity in order.lines.items():
                self._on_hand[sku] += quantity * (returned - left)
            order.status = status

    def _apply_to_sku(self, kind: str, sku: str, number: int) -> None:
        if kind == "move":
            self._on_hand[sku] += number
        elif kind == "price":
            self._prices[sku] = number
        elif kind == "sell":
            self._sold[sku] = bool(number)
        else:
            self._prices[sku], self._sold[sku], self._on_hand[sku] = self._first_prices[sku][0], True, number

    def _reserved(self, sku: str) -> int:
        return sum(order.lines.get(sku, 0) for order in self._orders.values() if order.status == "placed")

    def _available(self, sku: str) -> int:
        return self._on_hand[sku] - self._reserved(sku)

    async def _check_tables(self, connection: asyncpg.Connection[Any]) -> None:
        stock = await connection.fetch("SELECT sku, on_hand, reserved FROM stock")
        _same("stock", stock, ((sku, on_hand, self._reserved(sku)) for sku, on_hand in self._on_hand.items()))
        orders = await connection.fetch("SELECT id, customer_id, status, total_minor FROM orders")
        _same(
            "orders",
            orders,
            (
                (
                    order_id,
                    order.customer,
                    order.status,
                    order.total,
                )
                for order_id, order in self._orders.items()
            ),
        )
        variants = await connection.fetch("SELECT sku, price_minor, on_sale FROM variants")
        _same("variants", variants, ((sku, price, self._sold[sku]) for sku, price in self._prices.items()))
        lines = await connection.fetch("SELECT order_id, sku, quantity FROM order_lines")
        _same("lines", lines, ((o, sku, q) for o, order in self._orders.items() for sku, q in order.lines.items()))


def _task_of(row: asyncpg.Record) -> str:
    return str(row["idempotency_key"]).partition(":")[0]


def _same(table: str, found: Iterable[asyncpg.Record], expected: Iterable[tuple[object, ...]]) -> None:
    rows, wanted = {tuple(row) for row in found}, set(expected)
    assert rows == wanted, f"{table}: too many {rows - wanted}, missing {wanted - rows}"
