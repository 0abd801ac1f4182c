"""When to restart something that has exited by itself. Pure rules: the clock is the caller's."""

from collections import deque
from typing import Final

ENDS_MAX: Final = 5
ENDS_WITHIN_SECONDS: Final = 60.0
FIRST_PAUSE_SECONDS: Final = 0.25


class Restarts:
    """The exits of one process. After the first, which may be an accident, it is restarted at once; after each further
    one within ENDS_WITHIN_SECONDS, following a pause twice as long as the one before; after ENDS_MAX, not at all."""

    def __init__(self) -> None:
        self._ends: deque[float] = deque()

    def pause(self, now: float) -> float | None:
        """Notes an exit; returns how many seconds to wait before the restart, or None to give up. `now` is in monotonic
        seconds."""
        self._ends.append(now)
        while self._ends[0] <= now - ENDS_WITHIN_SECONDS:
            self._ends.popleft()
        again = len(self._ends) - 1
        if again >= ENDS_MAX:
            return None
        return FIRST_PAUSE_SECONDS * 2 ** (again - 1) if again else 0.0
