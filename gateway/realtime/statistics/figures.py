"""The figures that the topic `stats` sends each second: the last minute, and this moment. Amounts are in minor units by
currency. `GET /api/asyncapi.json` is generated from these structs.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType


class Latency(msgspec.Struct, frozen=True):
    """From accepted to committed, in milliseconds, accurate to about 3%; null if nothing happened."""

    p50: float | None = None
    p99: float | None = None


class Selling(msgspec.Struct, frozen=True):
    """A SKU that is being ordered: `pieces` in the last minute, and how many are `available` now. Name and availability
    are null until they have been looked up."""

    sku: str
    pieces: int
    name: str | None = None
    available: int | None = None


class RunningLow(msgspec.Struct, frozen=True):
    """A SKU on sale with few `available`; `pieces` were ordered in the last minute."""

    sku: str
    name: str
    available: int
    pieces: int = 0


class Missed(msgspec.Struct, frozen=True):
    """A SKU whose shortage made `orders` fail in the last minute."""

    sku: str
    orders: int
    name: str | None = None


class Minute(msgspec.Struct, frozen=True):
    """The figures of the last minute, from the log. `refused_orders_per_minute` counts orders that could not be placed,
    `rejections` all rejected commands, by code. `revenue_minor_per_minute` is what was ordered, `paid_minor_per_minute`
    what was charged less what was refunded."""

    orders_per_minute: int
    orders_last_second: int
    confirmed_per_minute: int
    cancelled_per_minute: int
    expired_per_minute: int
    refused_orders_per_minute: int
    events_per_minute: int
    revenue_minor_per_minute: dict[str, int]
    paid_minor_per_minute: dict[str, int]
    charged_payments_per_minute: int
    failed_payments_per_minute: int
    completed_checkouts_per_minute: int
    rejections: dict[str, int]
    top_skus: list[Selling]
    missed_skus: list[Missed]
    accept_to_commit_ms: Latency


class Shelf(msgspec.Struct, frozen=True):
    """SKUs on sale that run low, the most urgent first; and how many run low or are sold out."""

    low: list[RunningLow]
    low_skus: int
    sold_out_skus: int


class Waiting(msgspec.Struct, frozen=True):
    """What waits now: payments that are pending at their provider or for their buyer, at most 10,000, and for how long
    nothing was heard of the one that has waited longest, null for none; checkouts that are open, and those of them that
    were changed in the last ten minutes, at most 100,000 each."""

    pending_payments: int
    oldest_pending_seconds: float | None
    open_checkouts: int
    active_checkouts: int


class Past(msgspec.Struct, frozen=True):
    """The ten minutes before, for the start of a chart: `orders_per_minute` and `revenue_minor_per_minute` at each of
    the moments `at` (seconds of Unix time), oldest first."""

    at: list[int]
    orders_per_minute: list[int]
    revenue_minor_per_minute: dict[str, list[int]]


class Figures(Minute, frozen=True, kw_only=True):
    """All figures. `at` is in seconds of Unix time, `seq` the last event counted; `backlog` is the number of commands
    waiting in all mailboxes. It and `waiting` are null while they cannot be read. `past` comes only with the first
    figures of a subscription."""

    at: int
    seq: int
    window_seconds: int
    shelf: Shelf
    backlog: int | None
    waiting: Waiting | None
    past: Past | UnsetType = UNSET
