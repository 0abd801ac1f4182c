"""When what has ended by itself is started again. Only rules: the clock is the caller's."""

from collections import deque
from typing import Final

ENDS_MAX: Final = 5
ENDS_WITHIN_SECONDS: Final = 60.0
FIRST_PAUSE_SECONDS: Final = 0.25


class Restarts:
    """The ends of one process. The first is followed by a start at once, as it may be an accident; each further one
    within ENDS_WITHIN_SECONDS by a pause twice as long as the one before; and the one after ENDS_MAX by none."""

    def __init__(self) -> None:
        self._ends: deque[float] = deque()

    def pause(self, now: float) -> float | None:
        """It has ended: how many seconds to wait before it is started again, or None to give it up. `now` is in seconds
        on a clock that never goes back."""
        self._ends.append(now)
        while self._ends[0] <= now - ENDS_WITHIN_SECONDS:
            self._ends.popleft()
        again = len(self._ends) - 1
        if again >= ENDS_MAX:
            return None
        return FIRST_PAUSE_SECONDS * 2 ** (again - 1) if again else 0.0
