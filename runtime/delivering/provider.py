"""What the shop asks of a provider of delivery rates. Only tasks call it, so it may take its time or be away: its
methods cannot be had meanwhile, and everything else can.
"""

from __future__ import annotations

from typing import Protocol

from domain.quote.basket import RateAnswer, RateQuestion


class DeliveryProvider(Protocol):
    """One provider. It is asked one question about a checkout at a time, and about several checkouts side by side. A
    call may be repeated, with the same key, after its answer was lost. It raises Refused or OutcomeUnknown (see
    `runtime/outside.py`)."""

    @property
    def name(self) -> str:
        """What it is called in settings and events."""

    async def rates(self, question: RateQuestion, key: str) -> RateAnswer:
        """What each of the question's methods costs for all of its parts, in minor units of its currency; one that is
        left out does not deliver this, and none does if it is Refused. An answer that cannot be true (see
        `domain/quote/live_rates.py`), or that is good for less than a minute, counts as a failure. None is
        good for longer than `delivery_rate_seconds`, whatever it says."""
