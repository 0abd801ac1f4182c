"""The dashboard in a terminal, laid out for any width and height."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.panel import Panel
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from domain.money import written
from tidegate.client import Event

_SPARKS: Final = "▁▂▃▄▅▆▇█"
_PAST_SECONDS: Final = 600
_LATEST_MAX: Final = 40
_RANKED_MAX: Final = 6
_RANKED_MIN: Final = 3
_NARROW_COLUMNS: Final = 100
_COLUMNS_WIDE: Final = 5
_COLUMNS_NARROW: Final = 3
# The head, and the figures in rows of three lines each, with their frame and the sparkline.
_LINES_WIDE: Final = 1 + 2 * 3 + 3
_LINES_NARROW: Final = 1 + 3 * 3 + 3
_LATEST_MIN_LINES: Final = 5
_MARKS: Final = {
    "placed": ("●", "cyan"),
    "confirmed": ("■", "green"),
    "fulfilled": ("○", "green"),
    "cancelled": ("○", "red"),
    "expired": ("○", "red"),
}
_STATES: Final = {"connected": ("live", "green"), "connecting": ("connecting", "yellow")}
_LOST: Final = ("connection lost, reconnecting", "bold red")


class Board:
    """The latest figures and events, and how they are shown."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._state = "connecting"
        self._seq = 0
        self._stats: dict[str, Any] | None = None
        self._latest: deque[Event] = deque(maxlen=_LATEST_MAX)
        self._orders: dict[int, int] = {}
        """Orders per minute, by second of Unix time, for the last ten minutes."""

    def state(self, state: str) -> None:
        """Notes a change in the connection's state."""
        self._state = state

    def resync(self) -> None:
        """Clears everything: this is another log."""
        self._seq = 0
        self._latest.clear()
        self._orders = {}

    def counted(self, stats: dict[str, Any]) -> None:
        """Takes the figures, which come once a second."""
        if past := stats.get("past"):
            self._orders = dict(zip(past["at"], past["orders_per_minute"], strict=True))
        self._stats = stats
        self._seq = max(self._seq, stats["seq"])
        self._orders[stats["at"]] = stats["orders_per_minute"]
        self._orders = {at: orders for at, orders in self._orders.items() if at > stats["at"] - _PAST_SECONDS}

    def happened(self, event: Event) -> None:
        """Takes an event."""
        self._seq = event["seq"]
        self._latest.appendleft(event)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType | Segment]:
        width, height = options.max_width, options.height or console.height
        narrow = width < _NARROW_COLUMNS
        yield self._head()
        if self._stats is None:
            yield Panel("Waiting for the first figures …", border_style="dim")
            return
        yield self._figures(self._stats, width)
        left = height - (_LINES_NARROW if narrow else _LINES_WIDE) - 1
        rows = min(max(left - _LATEST_MIN_LINES - 2, _RANKED_MIN), _RANKED_MAX) if narrow else _RANKED_MAX
        lists = self._lists(self._stats, rows)
        if narrow:
            # Stacked, as many as fit.
            lists = lists[: max(0, (left - _LATEST_MIN_LINES) // (rows + 2))]
            left -= len(lists) * (rows + 2)
            yield from lists
        else:
            side_by_side = Table.grid(expand=True)
            for _ in lists:
                side_by_side.add_column(ratio=1)
            side_by_side.add_row(*lists)
            left -= rows + 2
            yield side_by_side
        yield self._latest_orders(max(1, left - 2))

    def _head(self) -> Text:
        said, colour = _STATES.get(self._state, _LOST)
        return Text.assemble(
            ("≋ Tidegate ", "bold cyan"),
            (self._url, "dim"),
            "  ",
            (f"● {said}", colour),
            f"  event {self._seq:,}",
            overflow="ellipsis",
            no_wrap=True,
        )

    def _figures(self, stats: dict[str, Any], width: int) -> Panel:
        takings = sorted(stats["revenue_minor_per_minute"].items(), key=lambda item: -item[1])
        latency = stats["accept_to_commit_ms"]
        asked = stats["orders_per_minute"] + stats["refused_orders_per_minute"]
        share = 100 * stats["refused_orders_per_minute"] / asked if asked else 0
        backlog = "?" if stats["backlog"] is None else f"{stats['backlog']:,}"
        paid = sorted(stats["paid_minor_per_minute"].items(), key=lambda item: -item[1])
        payments = f"{stats['charged_payments_per_minute']:,} paid, {stats['failed_payments_per_minute']:,} failed"
        pending, oldest, checkouts, active = _waiting(stats["waiting"])
        figures = (
            ("Orders/min", f"{stats['orders_per_minute']:,}", f"{stats['orders_last_second']:,} last second"),
            ("Revenue/min", _money(takings[:1]), _money(takings[1:3]) if len(takings) > 1 else ""),
            ("Paid/min", _money(paid[:1]), payments),
            ("Confirmed", f"{stats['confirmed_per_minute']:,}", f"{stats['cancelled_per_minute']:,} cancelled"),
            ("Refused", f"{sum(stats['rejections'].values()):,}", f"{share:.0f} % of orders"),
            ("Backlog", backlog, "commands waiting"),
            ("Accept to commit", _ms(latency["p50"]), f"99 % in {_ms(latency['p99'])}"),
            ("Payments pending", pending, oldest),
            ("Checkouts open", checkouts, active),
        )
        table = Table.grid(expand=True, padding=(0, 2))
        columns = _COLUMNS_NARROW if width < _NARROW_COLUMNS else _COLUMNS_WIDE
        for _ in range(columns):
            table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        for start in range(0, len(figures), columns):
            row = figures[start : start + columns]
            table.add_row(*(Text(title, "dim") for title, _, _ in row))
            table.add_row(*(Text(figure, "bold") for _, figure, _ in row))
            table.add_row(*(Text(note, "dim") for _, _, note in row))
        spark = Text(_sparkline(self._orders, width - 4), "cyan", no_wrap=True)
        grid = Table.grid(expand=True)
        grid.add_row(table)
        grid.add_row(spark)
        return Panel(grid, border_style="dim", subtitle="orders per minute, last ten minutes", subtitle_align="left")

    def _lists(self, stats: dict[str, Any], rows: int) -> list[Panel]:
        shelf = stats["shelf"]
        fast = [
            (row["name"] or row["sku"], f"{row['pieces']:,}", _left(row["available"]), row["pieces"])
            for row in stats["top_skus"]
        ]
        low = [
            (row["name"], f"{row['available']:,}", _sold_out_in(row["available"], row["pieces"]), row["available"])
            for row in shelf["low"]
        ]
        refused = [(code.replace("_", " "), f"{count:,}", "", count) for code, count in stats["rejections"].items()]
        missed = [
            (f"for lack of {row['name'] or row['sku']}", f"{row['orders']:,}", "", row["orders"])
            for row in stats["missed_skus"][:3]
        ]
        most = max(1, rows - len(missed))
        sold_out = f" · {shelf['sold_out_skus']:,} sold out" if shelf["sold_out_skus"] else ""
        return [
            _ranked("Selling fast", fast, rows, "cyan", "Nothing in the last minute."),
            _ranked(f"Running low{sold_out}", low, rows, "yellow", "All well stocked."),
            _ranked("Refused, and why", refused[:most] + missed, rows, "red", "Nothing was refused."),
        ]

    def _latest_orders(self, rows: int) -> Panel:
        table = Table.grid(padding=(0, 2))
        for event in islice(self._latest, rows):
            what = event["type"].partition(".")[2]
            mark, colour = _MARKS.get(what, ("·", "dim"))
            data = event["data"]
            total = written(data["total_minor"], data["currency"]) if "total_minor" in data else ""
            pieces = sum(line["quantity"] for line in data["lines"]) if "lines" in data else 0
            at = datetime.fromisoformat(event["time"]).astimezone().strftime("%H:%M:%S")
            table.add_row(
                Text(at, "dim"),
                Text(data.get("number") or event["subject"][-6:], "bold"),
                Text(f"{mark} {what}", colour),
                Text(f"{pieces:,} piece{'s' * (pieces != 1)}" if pieces else ""),
                Text(total, justify="right"),
            )
        shown: RenderableType = table if self._latest else Text("No orders yet.", "dim")
        return Panel(shown, title="Live orders", title_align="left", border_style="dim", height=rows + 2)


def _ranked(title: str, rows: Sequence[tuple[str, str, str, int]], most_rows: int, colour: str, empty: str) -> Panel:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(width=5, no_wrap=True)
    most = max((share for *_, share in rows), default=1) or 1
    for name, figure, note, share in rows[:most_rows]:
        bar = Text("█" * max(1, round(5 * share / most)), colour)
        table.add_row(Text(name), Text(figure, "bold"), Text(note, "dim"), bar)
    shown: RenderableType = table if rows else Text(empty, "dim")
    return Panel(shown, title=title, title_align="left", border_style="dim", height=most_rows + 2)


def _sparkline(values: Mapping[int, int], width: int) -> str:
    """A sparkline of values by ascending time, in `width` columns of equal time, scaled from 0 to the largest value."""
    times = sorted(values)
    most = max(values.values(), default=0) or 1
    columns = range(1, width + 1) if times else ()
    moments = (times[0] + (times[-1] - times[0]) * column / width for column in columns)
    seen = (values[times[bisect_right(times, moment) - 1]] for moment in moments)
    return "".join(_SPARKS[round((len(_SPARKS) - 1) * value / most)] for value in seen)


def _money(takings: Iterable[tuple[str, int]]) -> str:
    return "  ".join(written(minor, code) for code, minor in takings) or "0"


def _waiting(waiting: Mapping[str, Any] | None) -> tuple[str, str, str, str]:
    """The pending payments and the open checkouts, each with the caption below it."""
    if waiting is None:
        return "?", "", "?", ""
    oldest = waiting["oldest_pending_seconds"]
    since = "nobody waits" if oldest is None else f"for up to {_lasting(oldest)}"
    return (
        f"{waiting['pending_payments']:,}",
        since,
        f"{waiting['open_checkouts']:,}",
        f"{waiting['active_checkouts']:,} active",
    )


def _left(available: int | None) -> str:
    if available is None:
        return ""
    return f"{available:,} left" if available > 0 else "sold out"


def _sold_out_in(available: int, pieces: int) -> str:
    if not pieces:
        return ""
    return _lasting(60 * available / pieces)


def _lasting(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:,.0f} min"


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f} ms" if value < 10 else f"{value:,.0f} ms"
