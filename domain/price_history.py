"""What a variant cost over the last 30 days, for the price that a reduction must be shown against (Directive 98/6/EC,
Article 6a). The history is part of the variant, so it is kept short: only the prices of those days, and
PRICE_HISTORY_MAX of them at most.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from domain.limits import PRICE_HISTORY_MAX
from domain.quote.terms.prices import LOWEST_PRICE_DAYS, lowest_price

_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""When a price began whose start was never recorded."""


class Priced(msgspec.Struct, frozen=True, gc=False):
    """The price of one piece from a moment on, and the price that it was shown as reduced from, if any."""

    at: datetime
    price_minor: int
    currency: str
    compare_at_minor: int | None = None

    def says(self, other: "Priced") -> bool:
        """Whether both state the same price and reduction."""
        return (self.price_minor, self.currency, self.compare_at_minor) == (
            other.price_minor,
            other.currency,
            other.compare_at_minor,
        )


def history_of(known: Sequence[Priced], before: Priced | None, now: Priced) -> tuple[Priced, ...]:
    """The history with the current price added, and prices dropped that ended before the days that count. `before` is
    the price until now; if the history lacks it, it counts from the last known moment."""
    history = list(known)
    if before is not None and not (history and history[-1].says(before)):
        history.append(msgspec.structs.replace(before, at=history[-1].at if history else _EVER))
    if not (history and history[-1].says(now)):
        history.append(now)
    since = history[-1].at - timedelta(days=LOWEST_PRICE_DAYS)
    while len(history) > 1 and history[1].at <= since:
        del history[0]
    while len(history) > PRICE_HISTORY_MAX:
        _merge_oldest(history)
    return tuple(history)


def _merge_oldest(history: list[Priced]) -> None:
    """Merges the two oldest into one: the cheaper, from the earlier moment on, so that nothing looks more reduced than
    it is. Prices in different currencies do not compare."""
    first, second = history[:2]
    cheaper = first if first.currency == second.currency and first.price_minor < second.price_minor else second
    history[:2] = [msgspec.structs.replace(cheaper, at=first.at)]


def lowest_before(
    history: Sequence[Priced], price_minor: int, currency: str, compare_at_minor: int | None
) -> int | None:
    """The lowest price of the 30 days before the reduction began that a variant shows now. None without a
    reduction, or if no earlier price is known."""
    if compare_at_minor is None or not history:
        return None
    now = history[-1]
    if (now.price_minor, now.currency, now.compare_at_minor) != (price_minor, currency, compare_at_minor):
        return None
    return lowest_price(((one.at, one.price_minor) for one in history if one.currency == currency), now.at)


def lowest_until(history: Sequence[Priced], currency: str, until: datetime) -> int | None:
    """The lowest price of the 30 days before that moment. None if they are not known: the history covers only
    those before its last change."""
    if not history or history[-1].at > until:
        return None
    return lowest_price(((one.at, one.price_minor) for one in history if one.currency == currency), until)
