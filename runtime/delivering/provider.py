"""The interface of providers of delivery rates. Only tasks call them, so while a provider is slow or unavailable, only
its own methods are not available.
"""

from __future__ import annotations

from typing import Protocol

from domain.quote.basket import RateAnswer, RateQuestion


class DeliveryProvider(Protocol):
    """One provider. Questions about the same checkout are asked one at a time, others concurrently. A call may be
    repeated, with the same idempotency key, after its answer was lost. It raises Refused or OutcomeUnknown (see
    `runtime/outside.py`)."""

    @property
    def name(self) -> str:
        """Its name in settings and events."""

    async def rates(self, question: RateQuestion, key: str) -> RateAnswer:
        """What each of the question's methods costs for all of its parts, in minor units of its currency; one that is
        left out does not deliver this, and none does if it is Refused. An answer that cannot be true (see
        `domain/quote/live_rates.py`), or that is good for less than a minute, counts as a failure. None is
        good for longer than `delivery_rate_seconds`, whatever it says."""
