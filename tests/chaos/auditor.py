"""The auditor reads the log as anybody could, keeps its own books from it, and compares them with what everybody was
told and with the tables. It shares no code with the application."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from tests.chaos.shoppers import COME_BACK, PRICE_MINOR, Wish
from tests.chaos.watchers import Watcher

_LEAVES: Final = {"confirmed": ("placed",), "cancelled": ("placed", "confirmed"), "expired": ("placed",)}
_COMMANDS: Final = {
    "place": "PlaceOrder",
    "cancel": "CancelOrder",
    "confirm": "ConfirmOrder",
    "receive": "ReceiveStock",
    "report": "RequestJob",
}
_TASKS: Final = "tidegate:tasks"


@dataclass
class _Order:
    customer: str
    lines: dict[str, int]
    total: int
    status: str = "placed"


@dataclass
class Findings:
    """What violates an invariant; empty if all is well."""

    found: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def unless(self, holds: bool, said: str) -> None:
        """Notes it unless it holds."""
        if not holds:
            self.found.append(said)


class Auditor:
    """Audits one run."""

    def __init__(self, wishes: Sequence[Wish], watchers: Sequence[Watcher]) -> None:
        self._wishes = wishes
        self._watchers = watchers
        self._findings = Findings()
        self._on_hand: defaultdict[str, int] = defaultdict(int)
        self._reserved: defaultdict[str, int] = defaultdict(int)
        self._orders: dict[str, _Order] = {}

    async def audit(self, connection: asyncpg.Connection[Any]) -> Findings:
        """Checks everything. Nothing may change while it does."""
        events = [
            dict(row, data=json.loads(row["data"]))
            for row in await connection.fetch("SELECT seq, type, subject, command_id, data FROM events ORDER BY seq")
        ]
        commands = await connection.fetch(
            "SELECT id, type, principal, idempotency_key, status, seq, event_count FROM commands ORDER BY seq"
        )
        self._log_is_gapless(events, commands)
        by_key = {(row["principal"], row["idempotency_key"]): row for row in commands if row["idempotency_key"]}
        asked = {str(row["id"]): wish for wish in self._wishes if (row := by_key.get((wish.principal, wish.key)))}
        self._books(events, asked)
        for wish in self._wishes:
            row = by_key.get((wish.principal, wish.key))
            self._wish_was_granted(wish, row, events[row["seq"] - 1] if row else None)
        self._nothing_unasked(commands)
        self._tasks_done_once(events, commands)
        await self._tables_agree(connection)
        for number, watcher in enumerate(self._watchers, 1):
            self._was_told_the_log(f"watcher {number}", watcher.events, events)
        return self._findings

    def _log_is_gapless(self, events: Sequence[Mapping[str, Any]], commands: Sequence[asyncpg.Record]) -> None:
        seqs = [event["seq"] for event in events]
        self._findings.unless(seqs == list(range(1, len(seqs) + 1)), "the log has gaps or repeats")
        told = [event["command_id"] for event in events]
        expected = [row["id"] for row in commands for _ in range(row["event_count"])]
        self._findings.unless(told == expected, "the events are not those of the commands, in their order")
        failed = [str(row["id"]) for row in commands if row["status"] == "failed"]
        self._findings.unless(not failed, f"commands that failed: {failed[:5]}")
        self._findings.counts["events"] = len(events)

    def _books(self, events: Iterable[Mapping[str, Any]], asked: Mapping[str, Wish]) -> None:
        """Follows the log event by event: nothing may ever be overdrawn, and no refusal be without its reason."""
        for event in events:
            kind, data, seq = event["type"], event["data"], event["seq"]
            if kind == "stock.received":
                self._on_hand[data["sku"]] += data["quantity"]
            elif kind == "order.placed":
                self._place(seq, data)
            elif kind.startswith("order."):
                self._move(seq, data["order_id"], kind.removeprefix("order."))
            elif kind == "command.rejected":
                self._findings.counts[f"refused: {data['code']}"] += 1
                wish = asked.get(data["command_id"])
                if wish and data["code"] == "insufficient_stock":
                    lacks = any(n > self._on_hand[sku] - self._reserved[sku] for sku, n in wish.lines.items())
                    self._findings.unless(lacks, f"seq {seq}: refused for want of stock that was there")
            for sku in {line["sku"] for line in data.get("lines", ())}:
                here = 0 <= self._reserved[sku] <= self._on_hand[sku]
                self._findings.unless(here, f"seq {seq}: {sku} is overdrawn")

    def _place(self, seq: int, data: Mapping[str, Any]) -> None:
        lines = {line["sku"]: line["quantity"] for line in data["lines"]}
        self._findings.unless(data["order_id"] not in self._orders, f"seq {seq}: an order placed twice")
        self._orders[data["order_id"]] = _Order(data["customer_id"], lines, data["total_minor"])
        for sku, quantity in lines.items():
            self._reserved[sku] += quantity
        self._findings.counts["orders placed"] += 1

    def _move(self, seq: int, order_id: str, status: str) -> None:
        order = self._orders[order_id]
        self._findings.unless(order.status in _LEAVES[status], f"seq {seq}: {order.status} became {status}")
        for sku, quantity in order.lines.items():
            if order.status == "placed":
                self._reserved[sku] -= quantity
                self._on_hand[sku] -= quantity * (status == "confirmed")
            else:
                self._on_hand[sku] += quantity
        order.status = status
        self._findings.counts[f"orders {status}"] += 1

    def _wish_was_granted(self, wish: Wish, row: asyncpg.Record | None, event: Mapping[str, Any] | None) -> None:
        """What somebody was told is what the log says of it."""
        what = f"{wish.kind} {wish.key} of {wish.principal}"
        self._findings.unless(wish.settled, f"{what}: never answered; told {[s for s, _ in wish.replies]}")
        accepted = [body for status, body in wish.replies if status in (200, 201, 202)]
        refused = [body["code"] for status, body in wish.replies if 400 <= status < 500 and status not in COME_BACK]
        self._findings.counts["requests answered"] += len(wish.replies)
        if row is None or event is None:
            self._findings.unless(not accepted, f"{what}: accepted, and lost")
            return
        self._findings.unless(row["type"] == _COMMANDS[wish.kind], f"{what}: recorded as {row['type']}")
        ids = {body["command_id"] for body in accepted if "command_id" in body}
        self._findings.unless(ids <= {str(row["id"])}, f"{what}: answered as {ids}, recorded as {row['id']}")
        if row["status"] == "rejected":
            code = event["data"]["code"]
            self._findings.unless(set(refused) <= {code}, f"{what}: refused as {refused}, in the log as {code}")
            self._findings.unless(201 not in {s for s, _ in wish.replies}, f"{what}: granted, and refused in the log")
            return
        self._findings.unless(row["status"] == "applied", f"{what}: recorded as {row['status']}")
        self._findings.unless(not refused, f"{what}: refused as {refused}, and applied")
        if wish.kind == "place":
            order = self._orders[event["subject"]]
            total = sum(wish.lines.values()) * PRICE_MINOR
            as_asked = (order.customer, order.lines, order.total) == (wish.principal, wish.lines, total)
            self._findings.unless(as_asked, f"{what}: became {order}")
            told = {body["id"] for body in accepted}
            self._findings.unless(told <= {event["subject"]}, f"{what}: told of the orders {told}")

    def _nothing_unasked(self, commands: Iterable[asyncpg.Record]) -> None:
        wished = Counter((_COMMANDS[wish.kind], wish.principal) for wish in self._wishes)
        done = Counter((row["type"], row["principal"]) for row in commands if row["status"] == "applied")
        for (kind, principal), count in done.items():
            if principal.startswith("customer-"):
                asked = wished[kind, principal]
                self._findings.unless(count <= asked, f"{principal}: {count} times {kind}, asked for {asked}")

    def _tasks_done_once(self, events: Sequence[Mapping[str, Any]], commands: Sequence[asyncpg.Record]) -> None:
        """Each job that was asked for was a task, and each task has had one result."""
        jobs = Counter(event["subject"] for event in events if event["type"] == "job.requested")
        finished = Counter(event["subject"] for event in events if event["type"] == "job.finished")
        self._findings.unless(finished == jobs, f"jobs without an end: {[*(jobs - finished)][:5]}")
        results = [row for row in commands if row["principal"] == _TASKS and row["status"] != "repeated"]
        of_tasks = Counter(row["idempotency_key"].partition(":")[0] for row in results)
        twice = [task for task, count in of_tasks.items() if count > 1]
        self._findings.unless(not twice, f"tasks with more than one result: {twice[:5]}")
        self._findings.counts["tasks done"] += len(of_tasks)

    async def _tables_agree(self, connection: asyncpg.Connection[Any]) -> None:
        stock = {row["sku"]: (row["on_hand"], row["reserved"]) for row in await connection.fetch("SELECT * FROM stock")}
        books = {sku: (self._on_hand[sku], self._reserved[sku]) for sku in self._on_hand}
        self._findings.unless(stock == books, f"stock is {stock}, and by the log {books}")
        rows = await connection.fetch("SELECT id::text, customer_id, status, total_minor FROM orders")
        orders = {row["id"]: tuple(row)[1:] for row in rows}
        expected = {key: (order.customer, order.status, order.total) for key, order in self._orders.items()}
        differing = [key for key in orders.keys() | expected.keys() if orders.get(key) != expected.get(key)]
        self._findings.unless(not differing, f"orders differ from the log: {differing[:5]}")

    def _was_told_the_log(
        self, who: str, told: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]
    ) -> None:
        seqs = [event["seq"] for event in told]
        wrong = next((n for n, seq in enumerate(seqs, 1) if seq != n), None)
        self._findings.unless(wrong is None, f"{who}: at its place {wrong} comes seq {wrong and seqs[wrong - 1]}")
        self._findings.unless(len(seqs) >= len(events), f"{who}: told of {len(seqs)} of {len(events)} events")
        for event, row in zip(told, events, strict=False):
            same = (event["type"], event["subject"], event["data"]) == (row["type"], row["subject"], row["data"])
            self._findings.unless(same, f"{who}: seq {event['seq']} is not as in the log")
