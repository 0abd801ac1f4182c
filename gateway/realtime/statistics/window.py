"""The last minute, counted as events come, by the second in which they were committed. Pure: events and the time come
from outside. Totals are updated as seconds come and go, so that reading them costs little however full the minute was.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from contextlib import suppress
from typing import Final

import msgspec

from domain.completion import CompleteCheckout
from domain.ids import milliseconds_of
from domain.orders import PlaceOrder
from domain.payments.entries import FAILURES
from domain.stock import INSUFFICIENT_STOCK
from gateway.realtime.statistics.figures import Latency, Minute, Missed, Selling
from runtime.records import EventRecord

WINDOW_SECONDS: Final = 60
TOP_SKUS: Final = 10

# Latencies are counted in steps of 5%, from a millisecond up: the number of counters does not grow with that of orders.
_STEPS_PER_E: Final = 20


class _Line(msgspec.Struct, gc=False):
    sku: str
    quantity: int


class _Placed(msgspec.Struct, gc=False):
    currency: str
    total_minor: int
    lines: list[_Line]


class _Entry(msgspec.Struct, gc=False):
    type: str
    reference: str | None


class _Change(msgspec.Struct, gc=False):
    currency: str
    charged_minor: int
    refunded_minor: int


class _Told(msgspec.Struct, gc=False):
    entries: list[_Entry] = []
    change: _Change | None = None

    @property
    def has_failed(self) -> bool:
        """Whether somebody could not pay."""
        return any(entry.type in _NOT_PAID and entry.reference is not None for entry in self.entries)


class _Short(msgspec.Struct, gc=False):
    sku: str


class _Particulars(msgspec.Struct, gc=False):
    lines: list[_Short] = []


class _Refused(msgspec.Struct, gc=False):
    command: str
    code: str
    particulars: msgspec.Raw = msgspec.Raw(b"{}")

    @property
    def is_order(self) -> bool:
        """Whether an order was lost. A checkout that is rejected for anything but its goods is just not complete
        yet."""
        return self.command == PlaceOrder.__name__ or (
            self.command == CompleteCheckout.__name__ and self.code == INSUFFICIENT_STOCK
        )


_NOT_PAID: Final = (FAILURES["authorization"], FAILURES["charge"])

_placed: Final = msgspec.json.Decoder(_Placed)
_told: Final = msgspec.json.Decoder(_Told)
_refused: Final = msgspec.json.Decoder(_Refused)
_particulars: Final = msgspec.json.Decoder(_Particulars)


class _Counts:
    """The counts of one second, or of all."""

    __slots__ = (
        "charged_payments",
        "failed_payments",
        "latencies",
        "missed",
        "moves",
        "paid",
        "pieces",
        "refused_orders",
        "rejections",
        "revenue",
    )

    def __init__(self) -> None:
        self.moves: Counter[str] = Counter()
        self.revenue: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        self.pieces: Counter[str] = Counter()
        self.rejections: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        self.latencies: Counter[int] = Counter()
        self.refused_orders = self.charged_payments = self.failed_payments = 0

    def place(self, order: _Placed) -> None:
        self.revenue[order.currency] += order.total_minor
        for line in order.lines:
            self.pieces[line.sku] += line.quantity

    def pay(self, told: _Told) -> None:
        self.failed_payments += told.has_failed
        if told.change is not None:
            self.charged_payments += told.change.charged_minor > 0
            self.paid[told.change.currency] += told.change.charged_minor - told.change.refunded_minor

    def refuse(self, refused: _Refused, short: list[_Short]) -> None:
        self.rejections[refused.code] += 1
        self.refused_orders += refused.is_order
        for line in short:
            self.missed[line.sku] += 1

    def give_back(self, gone: _Counts) -> None:
        """Subtracts a second's counts from the totals."""
        for name in ("moves", "revenue", "paid", "pieces", "rejections", "missed", "latencies"):
            ours, theirs = getattr(self, name), getattr(gone, name)
            for key, count in theirs.items():
                ours[key] -= count
                if not ours[key]:
                    del ours[key]
        self.refused_orders -= gone.refused_orders
        self.charged_payments -= gone.charged_payments
        self.failed_payments -= gone.failed_payments


class _Second(_Counts):
    __slots__ = ("at",)

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at


class Window:
    """The last WINDOW_SECONDS seconds, and the current one."""

    def __init__(self) -> None:
        self._seconds: deque[_Second] = deque()
        self._total = _Counts()

    def add(self, record: EventRecord) -> None:
        """Counts an event. One that is older than the window is not counted, nor is one that cannot be read."""
        second = self._second(record.occurred_at // 1_000_000)
        if second is None:
            return
        # A command's id holds when it was accepted, in milliseconds.
        milliseconds = max(0.0, record.occurred_at / 1000 - milliseconds_of(record.command_id))
        step = int(math.log1p(milliseconds) * _STEPS_PER_E)
        with suppress(msgspec.MsgspecError):
            if record.type == "order.placed":
                order = _placed.decode(record.data)
                second.place(order)
                self._total.place(order)
            elif record.type in ("payment.reported", "payment.card_moved"):
                told = _told.decode(record.data)
                second.pay(told)
                self._total.pay(told)
            elif record.type in ("command.rejected", "command.failed"):
                refused = _refused.decode(record.data)
                short = _missing(refused)
                second.refuse(refused, short)
                self._total.refuse(refused, short)
            for counts in (second, self._total):
                counts.moves[record.type] += 1
                counts.latencies[step] += 1

    def summary(self, now: int) -> Minute:
        """The figures of the 60 seconds before `now` (seconds of Unix time)."""
        while self._seconds and self._seconds[0].at < now - WINDOW_SECONDS:
            self._drop_oldest()
        total = self._total
        last = next((second for second in reversed(self._seconds) if second.at == now - 1), None)
        return Minute(
            orders_per_minute=total.moves["order.placed"],
            orders_last_second=last.moves["order.placed"] if last else 0,
            confirmed_per_minute=total.moves["order.confirmed"],
            cancelled_per_minute=total.moves["order.cancelled"],
            expired_per_minute=total.moves["order.expired"],
            refused_orders_per_minute=total.refused_orders,
            events_per_minute=total.moves.total(),
            revenue_minor_per_minute=dict(total.revenue),
            paid_minor_per_minute={currency: minor for currency, minor in total.paid.items() if minor},
            charged_payments_per_minute=total.charged_payments,
            failed_payments_per_minute=total.failed_payments,
            completed_checkouts_per_minute=total.moves["checkout.completed"],
            rejections=dict(total.rejections.most_common()),
            top_skus=[Selling(sku, pieces) for sku, pieces in total.pieces.most_common(TOP_SKUS)],
            missed_skus=[Missed(sku, orders) for sku, orders in total.missed.most_common(TOP_SKUS)],
            accept_to_commit_ms=_quantiles(total.latencies),
        )

    def pieces(self, sku: str) -> int:
        """How many pieces of a SKU were ordered."""
        return self._total.pieces.get(sku, 0)

    def _second(self, at: int) -> _Second | None:
        # Batches commit concurrently: their events' times may be slightly out of order.
        for second in reversed(self._seconds):
            if second.at == at:
                return second
            if second.at < at:
                break
        if self._seconds and at < self._seconds[-1].at:
            return self._insert(at)
        self._seconds.append(_Second(at))
        while self._seconds[0].at < at - WINDOW_SECONDS:
            self._drop_oldest()
        return self._seconds[-1]

    def _insert(self, at: int) -> _Second | None:
        if at < self._seconds[-1].at - WINDOW_SECONDS:
            return None
        index = next(i for i, second in enumerate(self._seconds) if second.at > at)
        second = _Second(at)
        self._seconds.insert(index, second)
        return second

    def _drop_oldest(self) -> None:
        self._total.give_back(self._seconds.popleft())


def _missing(refused: _Refused) -> list[_Short]:
    """The SKUs that were short, if that is why the order was refused."""
    if refused.code != INSUFFICIENT_STOCK or not refused.is_order:
        return []
    return _particulars.decode(refused.particulars).lines


def _quantiles(latencies: Counter[int]) -> Latency:
    count = latencies.total()
    if not count:
        return Latency()
    found: list[float] = []
    seen = 0
    for step, times in sorted(latencies.items()):
        seen += times
        while len(found) < 2 and seen * 100 >= count * (50, 99)[len(found)]:
            found.append(round(math.expm1((step + 0.5) / _STEPS_PER_E), 1))
    return Latency(*found)
