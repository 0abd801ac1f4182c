"""How the sandbox misbehaves. A mood is one word, for one payment (in its `moods`, or after a `+` in its method, as in
`card+lose_answer`), or for a share of everything (see `PUT /control`).

Which acts a share falls on is determined by a seed and the act's key, not by when it arrives, so a run can be repeated
whatever the order of its requests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Annotated, Final, Literal, get_args

import msgspec

Mood = Literal[
    "decline",
    "step",
    "fail",
    "slow",
    "lose_request",
    "lose_answer",
    "hang",
    "webhook_twice",
    "webhook_late",
    "webhook_shuffled",
    "webhook_forged",
    "webhook_lost",
]
"""What the buyer's bank does: it may `decline`, or require another `step`; captures, refunds and voids may `fail`. How
answers come: `slow`; not at all, before (`lose_request`) or after (`lose_answer`) carrying out the request; or never,
after carrying it out (`hang`). How webhooks come: twice, late, in another order, after a forged one, or not at all."""

MOODS: Final[frozenset[str]] = frozenset(get_args(Mood))

AT_FIRST: Final = frozenset({"lose_request", "lose_answer", "hang"})
"""The moods that apply only to the first request with a key: otherwise no retry would ever get an answer."""

_SHARES: Final = 1 << 32


class UnknownMood(ValueError):
    """There is no such mood."""


class Control(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `PUT /control`, and the answer to it and to `GET /control`: the share of acts, 0 to 1, that each mood
    falls on, and how long the slow ones take."""

    shares: dict[Mood, Annotated[float, msgspec.Meta(ge=0, le=1)]] = {}
    seed: int = 0
    slow_seconds: Annotated[float, msgspec.Meta(ge=0, le=600)] = 1.0
    hang_seconds: Annotated[float, msgspec.Meta(ge=0, le=600)] = 60.0
    late_seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 5.0

    def drawn(self, key: str) -> frozenset[str]:
        """The moods that fall on the act with this key."""
        return frozenset(mood for mood, share in self.shares.items() if _draw(self.seed, mood, key) < share)


def known(words: Iterable[str]) -> tuple[str, ...]:
    """The words, if all of them are moods. Raises UnknownMood."""
    words = tuple(words)
    if strange := sorted(set(words) - MOODS):
        raise UnknownMood(f"{strange[0]!r} is not a mood: one of {', '.join(sorted(MOODS))}")
    return words


def of_method(method: str) -> tuple[str, ...]:
    """The moods in a method, such as `card+step+webhook_twice`. Raises UnknownMood."""
    return known(method.split("+")[1:])


def _draw(seed: int, mood: str, key: str) -> float:
    digest = hashlib.blake2b(f"{seed}:{mood}:{key}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) / _SHARES
