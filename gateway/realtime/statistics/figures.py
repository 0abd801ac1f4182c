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
    `rejections` all rejected commands, by code."""

    orders_per_minute: int
    orders_last_second: int
    confirmed_per_minute: int
    cancelled_per_minute: int
    expired_per_minute: int
    refused_orders_per_minute: int
    events_per_minute: int
    revenue_minor_per_minute: dict[str, int]
    rejections: dict[str, int]
    top_skus: list[Selling]
    missed_skus: list[Missed]
    accept_to_commit_ms: Latency


class Shelf(msgspec.Struct, frozen=True):
    """SKUs on sale that run low, the most urgent first; and how many run low or are sold out."""

    low: list[RunningLow]
    low_skus: int
    sold_out_skus: int


class Past(msgspec.Struct, frozen=True):
    """The ten minutes before, for the start of a chart: `orders_per_minute` and `revenue_minor_per_minute` at each of
    the moments `at` (seconds of Unix time), oldest first."""

    at: list[int]
    orders_per_minute: list[int]
    revenue_minor_per_minute: dict[str, list[int]]


class Figures(Minute, frozen=True, kw_only=True):
    """All figures. `at` is in seconds of Unix time, `seq` the last event counted; `backlog` is the number of commands
    waiting in all mailboxes, null while that cannot be read. `past` comes only with the first figures of a
    subscription."""

    at: int
    seq: int
    window_seconds: int
    shelf: Shelf
    backlog: int | None
    past: Past | UnsetType = UNSET
