"""What is broken, and when: drawn from the seed before anything runs, so that the same seed breaks the same."""

from __future__ import annotations

from collections.abc import Collection
from random import Random
from typing import Final, NamedTuple

PROCESSES: Final = ("gateway", "worker", "background", "scheduler")
SERVERS: Final = ("postgres", "valkey")

# Relative frequencies of (what, target).
_FAULTS: Final = {
    ("kill", "gateway"): 2,
    ("kill", "worker"): 2,
    ("kill", "background"): 1,
    ("kill", "scheduler"): 1,
    ("kill", "postgres"): 2,
    ("kill", "valkey"): 2,
    ("kill one", "gateway"): 1,
    ("kill one", "worker"): 3,
    ("stop one", "gateway"): 1,
    ("stop one", "worker"): 3,
    ("stop one", "background"): 1,
    ("catch", "background"): 1,
    ("stop one", "valkey"): 1,
    ("restart", "gateway"): 1,
    ("restart", "worker"): 1,
    ("restart", "postgres"): 1,
    ("cut", "postgres"): 2,
    ("cut", "valkey"): 2,
    ("forget", "postgres"): 1,
    ("forget", "valkey"): 1,
    ("slow", "postgres"): 1,
    ("slow", "valkey"): 1,
    ("clock", "all"): 2,
}
# Long enough that the shop is mostly open: nothing is lost while nothing is done.
_PAUSE_SECONDS: Final = (0.5, 4.0)
_LASTS_SECONDS: Final = (0.2, 1.5)
# Longer than the lease of a task: whoever is at work on one has lost it when he goes on.
_LASTS_LONG_SECONDS: Final = (2.5, 4.0)
_LONG: Final = {("stop one", "background"), ("catch", "background")}
# Tokens, leases and ids must stand a clock that was corrected; hours would only end every session.
_CLOCK_SECONDS: Final = (-120, 120)
_DELAY_SECONDS: Final = (0.02, 0.2)


class Fault(NamedTuple):
    """Something to break: `at` in seconds from the start, `lasts` in seconds; `amount` is the delay of each answer, or
    how far the clock jumps, in seconds."""

    at: float
    what: str
    target: str
    lasts: float
    amount: float = 0.0

    def __str__(self) -> str:
        amount = f", {self.amount:+.2f} s" if self.amount else ""
        return f"{self.at:6.2f} s  {self.what} {self.target}, for {self.lasts:.1f} s{amount}"


def names() -> list[str]:
    """What can be broken, as people say it."""
    return [" ".join(kind) for kind in _FAULTS]


def draw(seed: int, seconds: float, only: Collection[str] = ()) -> list[Fault]:
    """The faults of a run of this many seconds, in order; `only` restricts them, if it names any."""
    random = Random(seed)
    kinds = [kind for kind in _FAULTS if not only or " ".join(kind) in only]
    weights = [_FAULTS[kind] for kind in kinds]
    faults = []
    at = random.uniform(*_PAUSE_SECONDS)
    while at < seconds:
        ((what, target),) = random.choices(kinds, weights)
        amount = {"clock": random.uniform(*_CLOCK_SECONDS), "slow": random.uniform(*_DELAY_SECONDS)}.get(what, 0.0)
        lasts = random.uniform(*(_LASTS_LONG_SECONDS if (what, target) in _LONG else _LASTS_SECONDS))
        faults.append(Fault(at, what, target, lasts, amount))
        at += random.uniform(*_PAUSE_SECONDS)  # the next may begin before this one is over
    return faults
