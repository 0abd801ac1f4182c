"""A token bucket: a burst at once, and a rate in the long run."""

import asyncio
import time


class Allowance:
    """Fills at `per_second`, up to `burst`. `take` asks in advance; `spend` and `until_paid` are for a cost that is
    known only afterwards: the allowance may then go below zero, and the caller waits until it is paid off."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._left = float(burst)
        self._at = time.monotonic()

    def take(self) -> bool:
        """Takes one; False if there is none left."""
        self._refill()
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def spend(self, amount: float) -> None:
        """Takes what was used, even if it is more than was left."""
        self._left -= amount

    async def until_paid(self) -> None:
        """Returns when everything that was spent is paid for."""
        self._refill()
        while self._left < 0:
            await asyncio.sleep(-self._left / self._per_second)
            self._refill()

    def _refill(self) -> None:
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
