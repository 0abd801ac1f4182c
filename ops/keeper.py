"""Keeps servers and processes running: one that exits by itself is restarted, after a pause that grows with every exit
(see `ops.restarts`). One that keeps exiting is given up, with an error that says which it is and how it exited.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ops.restarts import ENDS_MAX, ENDS_WITHIN_SECONDS, Restarts


class Keepable(Protocol):
    """Something that can be kept running."""

    @property
    def title(self) -> str:
        """Its name in messages."""

    @property
    def start_timeout_seconds(self) -> float:
        """How long it may take to be up."""

    @property
    def ended_by_itself(self) -> int | None:
        """Its exit code (negative: the signal that ended it), if it ended without being stopped."""

    def kill(self) -> None:
        """Kills whatever is left of it."""

    def launch(self) -> None:
        """Starts it, without waiting until it is up."""

    def is_up(self) -> bool:
        """Whether it is working."""

    def last_words(self) -> str:
        """Its last output, if that helps to find the cause."""


class KeepsEnding(Exception):
    """Something cannot be kept running; the message says what, and how it exited."""


@dataclass
class _Watched:
    """Something that is kept running. While it is not up: `how` and when it exited, and when it is or was launched."""

    what: Keepable
    state: Literal["up", "down", "starting"] = "up"
    how: str = ""
    ended_at: float = 0.0
    launch_at: float = 0.0
    restarts: Restarts = field(default_factory=Restarts)


class Keeper:
    """Watches what has been started. `say` is called with one line whenever something is up again."""

    def __init__(
        self,
        things: Iterable[Keepable],
        say: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watched = [_Watched(thing) for thing in things]
        self._say = say
        self._clock = clock

    def add(self, thing: Keepable) -> None:
        self._watched.append(_Watched(thing))

    def look(self) -> None:
        """Checks each of them, and restarts it if it is time; to be called often. Raises KeepsEnding."""
        for watched in self._watched:
            self._look_at(watched)

    def _look_at(self, watched: _Watched) -> None:
        what, now = watched.what, self._clock()
        if watched.state == "down":
            if now >= watched.launch_at:
                what.kill()  # and any children it left
                what.launch()
                watched.state, watched.launch_at = "starting", now
        elif (code := what.ended_by_itself) is not None:
            if watched.state == "up":
                watched.ended_at = now
            self._has_ended(watched, _words(code))
        elif watched.state == "starting":
            if what.is_up():
                watched.state = "up"
                took = self._clock() - watched.ended_at
                self._say(f"{what.title} exited unexpectedly ({watched.how}); it is back after {took:.1f} s.")
            elif now - watched.launch_at > what.start_timeout_seconds:
                self._has_ended(watched, f"not up within {what.start_timeout_seconds:.0f} s")

    def _has_ended(self, watched: _Watched, how: str) -> None:
        now = self._clock()
        pause = watched.restarts.pause(now)
        if pause is None:
            raise KeepsEnding(
                f"{watched.what.title} cannot be kept running: it exited {ENDS_MAX + 1} times within"
                f" {ENDS_WITHIN_SECONDS:.0f} s, the last time with: {how}\n{watched.what.last_words()}".rstrip()
            )
        watched.state, watched.how, watched.launch_at = "down", how, now + pause


def _words(returncode: int) -> str:
    return signal.Signals(-returncode).name if returncode < 0 else f"exit code {returncode}"
